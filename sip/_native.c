/* Reads and writes the heads of usual messages, for the compiled build.
 *
 * sip/usual.py says what they are, and has the same functions for the plain build. What is not
 * usual, or not ASCII, is left to the parser and the writer in Python, which alone decide what is
 * malformed. Nothing here keeps state but its tables, waits, or reads outside of what it was given.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* Header fields in their usual spelling; sip/fields.py has the same, and their rank on the wire. */
static const struct {
  const char *name;
  int rank;
} KNOWN[] = {
    {"Accept", 9},        {"Allow", 9},
    {"Authorization", 9}, {"Call-ID", 6},
    {"Contact", 8},       {"Content-Length", 11},
    {"Content-Type", 10}, {"CSeq", 7},
    {"Date", 9},          {"Event", 9},
    {"Expires", 9},       {"From", 4},
    {"Max-Forwards", 3},  {"Min-Expires", 9},
    {"Monitor-User-Identity", 9}, {"Note", 9},
    {"Reason", 9},        {"Record-Route", 2},
    {"Require", 9},       {"Retry-After", 9},
    {"Route", 1},         {"Server", 9},
    {"Subject", 9},       {"Subscription-State", 9},
    {"Supported", 9},     {"To", 5},
    {"User-Agent", 9},    {"Via", 0},
    {"WWW-Authenticate", 9}, {"X-GB-Ver", 9},
    {"X-PreferredPath", 9}, {"X-RoutePath", 9},
};
enum { NAMES = sizeof KNOWN / sizeof *KNOWN, SLOTS = 128 };
enum { CALL_ID = 3, CONTENT_LENGTH = 5, CSEQ = 7, FROM = 11, TO = 25, VIA = 27 };
static const int RANK_OF_LENGTH = 11;

static const char *const METHODS[] = {"MESSAGE", "REGISTER", "NOTIFY",  "SUBSCRIBE", "INVITE",
                                      "ACK",     "BYE",      "INFO",    "OPTIONS",   "CANCEL"};
enum { METHOD_COUNT = sizeof METHODS / sizeof *METHODS };

static const char *const AUTH_NAMES[] = {"username", "realm",  "nonce",  "uri",    "response",
                                         "algorithm", "qop",   "nc",     "cnonce", "opaque",
                                         "stale",    "domain"};
enum { AUTH_COUNT = sizeof AUTH_NAMES / sizeof *AUTH_NAMES };

/* What characters may stand where; made once. */
enum { USER = 1, HOST = 2, TOKEN = 4, DIGIT = 8, ALNUM = 16, ODD = 32 };
static uint8_t kinds[256];
static uint8_t name_lengths[NAMES], slots[SLOTS];
/* Interned, so that a dictionary finds them by their address; they live as long as the process. */
static PyObject *names[NAMES], *methods_known[METHOD_COUNT], *auth_names[AUTH_COUNT], *empty;

typedef struct {
  const uint8_t *at;
  Py_ssize_t size;
} Text;

/* Whether a text holds one byte for each character, all of them ASCII. */
static int is_ascii(PyObject *text) {
#if PY_VERSION_HEX < 0x030C0000 /* before 3.12 it may have to be made so first */
  if (PyUnicode_READY(text)) {
    PyErr_Clear();
    return 0;
  }
#endif
  return PyUnicode_IS_ASCII(text);
}

static unsigned hash_of(const uint8_t *name, Py_ssize_t size) {
  return (unsigned)(size * 5 + name[0] * 3 + name[size - 1] * 7 + name[size / 2] * 11) % SLOTS;
}

/* The number of a header field's name, -1 when it is not a usual one. */
static int find_name(const uint8_t *name, Py_ssize_t size) {
  if (size < 1) return -1;
  for (unsigned slot = hash_of(name, size);; slot = (slot + 1) % SLOTS) {
    int found = slots[slot] - 1;
    if (found < 0) return -1;
    if (name_lengths[found] == size && !memcmp(KNOWN[found].name, name, (size_t)size)) return found;
  }
}

static Py_ssize_t span(const uint8_t *p, const uint8_t *end, int kind) {
  const uint8_t *start = p;
  while (p < end && kinds[*p] & kind) p++;
  return p - start;
}

static int begins(Text text, const char *with) {
  Py_ssize_t size = (Py_ssize_t)strlen(with);
  return text.size >= size && !memcmp(text.at, with, (size_t)size);
}

/* Takes what `text` begins with off it. */
static int take(Text *text, const char *what) {
  if (!begins(*text, what)) return 0;
  text->at += strlen(what);
  text->size -= (Py_ssize_t)strlen(what);
  return 1;
}

static Text take_span(Text *text, int kind) {
  Text taken = {text->at, span(text->at, text->at + text->size, kind)};
  text->at += taken.size;
  text->size -= taken.size;
  return taken;
}

/* `sip:user@host`, `sips:`, perhaps with a port whose size needs no look: to 9999, or 59999. */
static int take_uri(Text *text, Text *user) {
  if (!take(text, "sips:") && !take(text, "sip:")) return 0;
  *user = take_span(text, USER);
  if (!user->size || !take(text, "@") || !take_span(text, HOST).size) return 0;
  if (!take(text, ":")) return 1;
  Text port = take_span(text, DIGIT);
  int is_high = port.size == 5 && port.at[0] >= '1' && port.at[0] <= '5';
  return (port.size >= 1 && port.size <= 4) || is_high;
}

/* `<URI>`, perhaps with a tag and nothing else. */
static int is_address(Text text, Text *user, Text *tag) {
  tag->size = 0;
  if (!take(&text, "<") || !take_uri(&text, user) || !take(&text, ">")) return 0;
  if (!text.size) return 1;
  if (!take(&text, ";tag=")) return 0;
  *tag = take_span(&text, TOKEN);
  return tag->size && !text.size;
}

/* One to nine digits; -1 when it is anything else. */
static long read_number(Text text) {
  long number = 0;
  if (text.size < 1 || text.size > 9 || span(text.at, text.at + text.size, DIGIT) != text.size)
    return -1;
  for (Py_ssize_t i = 0; i < text.size; i++) number = number * 10 + (text.at[i] - '0');
  return number;
}

static int read_via(Text text, Text *host, Text *port, Text *branch) {
  *port = (Text){(const uint8_t *)"5060", 4};
  if (!take(&text, "SIP/2.0/") ||
      !(take(&text, "UDP ") || take(&text, "TCP ") || take(&text, "TLS ")))
    return 0;
  *host = take_span(&text, HOST);
  if (!host->size) return 0;
  if (take(&text, ":")) {
    *port = take_span(&text, DIGIT);
    if (!port->size || port->size > 5 || port->at[0] == '0' || read_number(*port) > 65535) return 0;
  }
  int is_first = take(&text, ";rport");
  if (!take(&text, ";branch=")) return 0;
  *branch = take_span(&text, TOKEN);
  if (!is_first) take(&text, ";rport");
  return branch->size && !text.size;
}

static PyObject *make_text(Text text) {
  if (!text.size) return Py_NewRef(empty);
  PyObject *made = PyUnicode_New(text.size, 127);
  if (made) memcpy(PyUnicode_1BYTE_DATA(made), text.at, (size_t)text.size);
  return made;
}

static PyObject *make_sent_by(Text host, Text port) {
  PyObject *made = PyUnicode_New(host.size + 1 + port.size, 127);
  if (!made) return NULL;
  uint8_t *p = PyUnicode_1BYTE_DATA(made);
  for (Py_ssize_t i = 0; i < host.size; i++)
    *p++ = host.at[i] >= 'A' && host.at[i] <= 'Z' ? host.at[i] | 0x20 : host.at[i];
  *p++ = ':';
  memcpy(p, port.at, (size_t)port.size);
  return made;
}

/* Puts the fields of `rest` into a dictionary and their values into `values`.
 * Returns 1, 0 when something is not usual, -1 with an exception. */
static int read_fields(Text rest, long most, PyObject *fields, Text *values) {
  const uint8_t *p = rest.at, *end = rest.at + rest.size;
  while (p < end) {
    const uint8_t *name = p;
    while (p < end && *p != ':' && !(kinds[*p] & ODD)) p++;
    if (end - p < 2 || p[0] != ':' || p[1] != ' ' || --most < 0) return 0;
    int known = find_name(name, p - name);
    if (known < 0 || values[known].at) return 0;
    for (p += 2; p < end && *p == ' ';) p++;
    Text value = {p, 0};
    while (p < end && !(kinds[*p] & ODD)) p++;
    for (value.size = p - value.at; value.size && value.at[value.size - 1] == ' ';) value.size--;
    if (p < end) { /* another line follows */
      if (end - p < 3 || p[0] != '\r' || p[1] != '\n') return 0;
      p += 2;
    }
    values[known] = value;
    PyObject *text = make_text(value);
    if (!text) return -1;
    int failed = PyDict_SetItem(fields, names[known], text);
    Py_DECREF(text);
    if (failed) return -1;
  }
  return 1;
}

/* read_head(data, end, fields) -> sip.usual.Head, or None */
static PyObject *read_head(PyObject *module, PyObject *const *args, Py_ssize_t given) {
  if (given != 3 || !PyBytes_Check(args[0]))
    return PyErr_Format(PyExc_TypeError, "read_head takes bytes and two numbers");
  Py_ssize_t size = PyLong_AsSsize_t(args[1]);
  long most = PyLong_AsLong(args[2]);
  if (PyErr_Occurred()) return NULL;
  if (size < 0 || size > PyBytes_GET_SIZE(args[0])) size = PyBytes_GET_SIZE(args[0]);
  Text rest = {(const uint8_t *)PyBytes_AS_STRING(args[0]), size};

  int method = 0;
  Text uri, user, host, port, branch, tag, to_user, to_tag;
  while (method < METHOD_COUNT && !begins(rest, METHODS[method])) method++;
  if (method == METHOD_COUNT) Py_RETURN_NONE;
  take(&rest, METHODS[method]);
  if (!take(&rest, " ")) Py_RETURN_NONE;
  uri.at = rest.at;
  if (!take_uri(&rest, &user)) Py_RETURN_NONE;
  uri.size = rest.at - uri.at;
  if (!take(&rest, " SIP/2.0\r\n")) Py_RETURN_NONE;

  Text values[NAMES];
  memset(values, 0, sizeof values);
  PyObject *fields = PyDict_New();
  if (!fields) return NULL;
  int is_usual = read_fields(rest, most, fields, values);
  if (is_usual < 0) goto failed;
  Text number = values[CSEQ], length = values[CONTENT_LENGTH];
  const uint8_t *blank = number.size ? memchr(number.at, ' ', (size_t)number.size) : NULL;
  if (!is_usual || !blank) goto unusual;
  Text of_method = {blank + 1, number.size - (blank + 1 - number.at)};
  number.size = blank - number.at;
  long cseq = read_number(number), bytes = length.at ? read_number(length) : -1;
  if (cseq < 0 || (length.at && bytes < 0) || !values[CALL_ID].size ||
      !take(&of_method, METHODS[method]) || of_method.size ||
      !read_via(values[VIA], &host, &port, &branch) ||
      !is_address(values[FROM], &user, &tag) || !is_address(values[TO], &to_user, &to_tag))
    goto unusual;

  PyObject *found = PyTuple_New(11);
  if (!found) goto failed;
  PyObject *const items[] = {
      Py_NewRef(methods_known[method]), make_text(uri), fields, make_text(branch),
      make_sent_by(host, port), PyLong_FromLong(cseq),
      Py_XNewRef(PyDict_GetItemWithError(fields, names[CALL_ID])), make_text(user), make_text(tag),
      make_text(to_tag), PyLong_FromLong(bytes)};
  int is_whole = 1;
  for (int i = 0; i < 11; i++) {
    is_whole &= items[i] != NULL;
    PyTuple_SET_ITEM(found, i, items[i]); /* takes it over, NULL too */
  }
  if (is_whole) return found;
  Py_DECREF(found);
  return NULL;
unusual:
  Py_DECREF(fields);
  Py_RETURN_NONE;
failed:
  Py_DECREF(fields);
  return NULL;
}

/* Whether a text may stand on a line of a head as it is, in one byte each. */
static int is_line(PyObject *text) {
  return PyUnicode_Check(text) && is_ascii(text) &&
         !memchr(PyUnicode_1BYTE_DATA(text), '\n', (size_t)PyUnicode_GET_LENGTH(text)) &&
         !memchr(PyUnicode_1BYTE_DATA(text), '\r', (size_t)PyUnicode_GET_LENGTH(text));
}

static char *put(char *p, const void *text, Py_ssize_t size) {
  memcpy(p, text, (size_t)size);
  return p + size;
}

static char *put_text(char *p, PyObject *text) {
  return put(p, PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text));
}

/* The size of fields as lines; -1 when one is not usual or stands before its place. */
static Py_ssize_t measure(PyObject *fields) {
  Py_ssize_t size = 0;
  int rank = 0;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(fields); i++) {
    PyObject *field = PyList_GET_ITEM(fields, i);
    if (!PyTuple_Check(field) || PyTuple_GET_SIZE(field) != 2) return -1;
    PyObject *name = PyTuple_GET_ITEM(field, 0), *value = PyTuple_GET_ITEM(field, 1);
    if (!is_line(value) || !is_line(name)) return -1;
    int known = find_name(PyUnicode_1BYTE_DATA(name), PyUnicode_GET_LENGTH(name));
    if (known < 0 || KNOWN[known].rank < rank || KNOWN[known].rank == RANK_OF_LENGTH) return -1;
    rank = KNOWN[known].rank;
    size += PyUnicode_GET_LENGTH(name) + PyUnicode_GET_LENGTH(value) + 4;
  }
  return size;
}

/* write(start_line, fields, body) -> the whole message, or None */
static PyObject *write_message(PyObject *module, PyObject *const *args, Py_ssize_t given) {
  if (given != 3 || !PyUnicode_Check(args[0]) || !PyList_Check(args[1]) || !PyBytes_Check(args[2]))
    return PyErr_Format(PyExc_TypeError, "write takes a text, a list and bytes");
  char length[48];
  Py_ssize_t body = PyBytes_GET_SIZE(args[2]), size = is_line(args[0]) ? measure(args[1]) : -1;
  if (size < 0) Py_RETURN_NONE;
  int end = PyOS_snprintf(length, sizeof length, "Content-Length: %zd\r\n\r\n", body);
  size += PyUnicode_GET_LENGTH(args[0]) + 2 + end + body;
  PyObject *message = PyBytes_FromStringAndSize(NULL, size);
  if (!message) return NULL;
  char *p = put(put_text(PyBytes_AS_STRING(message), args[0]), "\r\n", 2);
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(args[1]); i++) {
    PyObject *field = PyList_GET_ITEM(args[1], i);
    p = put(put_text(p, PyTuple_GET_ITEM(field, 0)), ": ", 2);
    p = put(put_text(p, PyTuple_GET_ITEM(field, 1)), "\r\n", 2);
  }
  put(put(p, length, end), PyBytes_AS_STRING(args[2]), body);
  return message;
}

/* read_address(text) -> user and tag, or None */
static PyObject *read_address(PyObject *module, PyObject *text) {
  if (!PyUnicode_Check(text)) return PyErr_Format(PyExc_TypeError, "read_address takes a text");
  Text user, tag;
  if (!is_ascii(text) ||
      !is_address((Text){PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text)}, &user, &tag))
    Py_RETURN_NONE;
  PyObject *found = PyTuple_New(2), *first = make_text(user), *second = make_text(tag);
  if (found && first && second) {
    PyTuple_SET_ITEM(found, 0, first);
    PyTuple_SET_ITEM(found, 1, second);
    return found;
  }
  Py_XDECREF(found);
  Py_XDECREF(first);
  Py_XDECREF(second);
  return NULL;
}

/* One `name="value"` or `name=token` of credentials. As `read_fields`. */
static int read_parameter(Text part, PyObject *parameters) {
  const uint8_t *equals = part.size ? memchr(part.at, '=', (size_t)part.size) : NULL;
  if (!equals) return 0;
  Text name = {part.at, equals - part.at}, value = {equals + 1, part.at + part.size - equals - 1};
  int known = 0;
  while (name.size && name.at[0] == ' ') name.at++, name.size--;
  while (name.size && name.at[name.size - 1] == ' ') name.size--;
  while (known < AUTH_COUNT && !(begins(name, AUTH_NAMES[known]) &&
                                 (Py_ssize_t)strlen(AUTH_NAMES[known]) == name.size))
    known++;
  if (known == AUTH_COUNT) return 0;
  if (value.size && value.at[0] == '"') {
    if (value.size < 2 || value.at[value.size - 1] != '"') return 0;
    value = (Text){value.at + 1, value.size - 2};
    if (value.size && memchr(value.at, '"', (size_t)value.size)) return 0;
  } else {
    int dashes = 0;
    for (Py_ssize_t i = 0; i < value.size; i++) {
      if (value.at[i] == '-') dashes++;
      else if (!(kinds[value.at[i]] & ALNUM)) return 0;
    }
    if (dashes == value.size) return 0;
  }
  PyObject *text = make_text(value);
  if (!text) return -1;
  Py_ssize_t before = PyDict_GET_SIZE(parameters);
  int failed = PyDict_SetItem(parameters, auth_names[known], text);
  Py_DECREF(text);
  return failed ? -1 : PyDict_GET_SIZE(parameters) > before; /* a repeated one is not usual */
}

/* read_parameters(text) -> dict, or None */
static PyObject *read_parameters(PyObject *module, PyObject *text) {
  if (!PyUnicode_Check(text)) return PyErr_Format(PyExc_TypeError, "read_parameters takes a text");
  if (!is_ascii(text)) Py_RETURN_NONE;
  Text rest = {PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text)};
  if (rest.size && memchr(rest.at, '\\', (size_t)rest.size)) Py_RETURN_NONE;
  PyObject *parameters = PyDict_New();
  if (!parameters) return NULL;
  for (;;) {
    const uint8_t *comma = rest.size ? memchr(rest.at, ',', (size_t)rest.size) : NULL;
    Text part = {rest.at, comma ? comma - rest.at : rest.size};
    int is_usual = read_parameter(part, parameters);
    if (is_usual > 0 && !comma) return parameters;
    if (is_usual <= 0) {
      Py_DECREF(parameters);
      if (is_usual < 0) return NULL;
      Py_RETURN_NONE;
    }
    rest = (Text){comma + 1, rest.at + rest.size - comma - 1};
  }
}

static void make_kinds(void) {
  for (int c = 0; c < 256; c++) {
    int is_alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    kinds[c] = 0;
    if (c >= '0' && c <= '9') kinds[c] |= DIGIT;
    if (is_alnum) kinds[c] |= ALNUM;
    if (is_alnum || (c && strchr("_.-+", c))) kinds[c] |= USER;
    if (is_alnum || c == '.' || c == '-') kinds[c] |= HOST;
    if (is_alnum || (c && strchr("-.!%*_+`'~", c))) kinds[c] |= TOKEN;
    if (c >= 0x80 || c == '\t' || c == '\r' || c == '\n') kinds[c] |= ODD;
  }
}

static int intern(const char *const *texts, int count, PyObject **into) {
  for (int i = 0; i < count; i++)
    if (!into[i] && !(into[i] = PyUnicode_InternFromString(texts[i]))) return -1;
  return 0;
}

static int execute(PyObject *module) {
  make_kinds();
  memset(slots, 0, sizeof slots);
  for (int i = 0; i < NAMES; i++) {
    const char *name = KNOWN[i].name;
    name_lengths[i] = (uint8_t)strlen(name);
    unsigned slot = hash_of((const uint8_t *)name, name_lengths[i]);
    while (slots[slot]) slot = (slot + 1) % SLOTS;
    slots[slot] = (uint8_t)(i + 1);
    if (intern(&KNOWN[i].name, 1, names + i)) return -1;
  }
  if (!empty && !(empty = PyUnicode_InternFromString(""))) return -1;
  return intern(METHODS, METHOD_COUNT, methods_known) || intern(AUTH_NAMES, AUTH_COUNT, auth_names)
             ? -1
             : 0;
}

static PyMethodDef functions[] = {
    {"read_address", read_address, METH_O, NULL},
    {"read_head", (PyCFunction)(void (*)(void))read_head, METH_FASTCALL, NULL},
    {"read_parameters", read_parameters, METH_O, NULL},
    {"write", (PyCFunction)(void (*)(void))write_message, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                                        .m_name = "sip._native",
                                        .m_size = 0,
                                        .m_methods = functions,
                                        .m_slots = module_slots};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
