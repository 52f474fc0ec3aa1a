/* What a turn of the poller does to each packet, for the compiled build: reads headers that lie
 * one stride apart, rewrites them, and makes the two system calls.
 *
 * rtp/batch.py and rtp/datagrams.py say what it means, and do the same without it. Every offset is
 * checked against the buffer. Nothing waits here, so the lock of the interpreter is kept. */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER 12
#define PACK_FOURTH 0xBA
#define UDP_SEGMENT_OPTION 103 /* linux/udp.h */

static uint32_t read32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void write32(uint8_t *p, uint32_t value) {
  p[0] = value >> 24;
  p[1] = value >> 16;
  p[2] = value >> 8;
  p[3] = value;
}

/* Reads `count` integers of the arguments. */
static int read_numbers(PyObject *const *args, Py_ssize_t count, long long *numbers) {
  for (Py_ssize_t i = 0; i < count; i++) {
    numbers[i] = PyLong_AsLongLong(args[i]);
    if (numbers[i] == -1 && PyErr_Occurred()) return -1;
  }
  return 0;
}

static int expect(Py_ssize_t given, Py_ssize_t wanted) {
  if (given == wanted) return 0;
  PyErr_Format(PyExc_TypeError, "%zd arguments, not %zd", wanted, given);
  return -1;
}

/* Whether the headers of `count` packets, `stride` apart from `start` on, lie in the buffer. */
static int has_headers(const Py_buffer *data, long long start, long long stride, long long count) {
  if (start < 0 || start > data->len) start = data->len; /* no header has room there */
  long long room = (long long)data->len - HEADER - start; /* up to the last header */
  if (start >= 0 && room >= 0 && count > 0 && stride >= HEADER &&
      (count == 1 || stride <= room / (count - 1)))
    return 1;
  PyErr_SetString(PyExc_ValueError, "packets outside of the buffer");
  return 0;
}

/* scan(data, start, stride, count) -> PacketBatch's facts */
static PyObject *scan(PyObject *module, PyObject *const *args, Py_ssize_t given) {
  long long n[3];
  Py_buffer data;
  if (expect(given, 4) || read_numbers(args + 1, 3, n)) return NULL;
  if (PyObject_GetBuffer(args[0], &data, PyBUF_SIMPLE)) return NULL;
  if (!has_headers(&data, n[0], n[1], n[2])) {
    PyBuffer_Release(&data);
    return NULL;
  }
  const uint8_t *p = (const uint8_t *)data.buf + n[0];
  uint32_t number = (uint32_t)(p[2] << 8 | p[3]), first = number, last = number;
  uint32_t first_ticks = read32(p + 4), ticks = first_ticks, source = read32(p + 8);
  int is_rtp = 1, is_plain = 1, is_run = 1, is_one_time = 1, is_one_source = 1, is_one_type = 1;
  uint8_t type = p[1] & 0x7F;
  for (long long i = 0; i < n[2]; i++, p += n[1]) {
    is_plain &= p[0] == 0x80;
    is_rtp &= p[0] >> 6 == 2 && !(p[1] >= 200 && p[1] <= 204);
    last = (uint32_t)(p[2] << 8 | p[3]);
    is_run &= last == first + (uint32_t)i;
    ticks = read32(p + 4);
    is_one_time &= ticks == first_ticks;
    is_one_source &= read32(p + 8) == source;
    is_one_type &= (p[1] & 0x7F) == type;
  }
  PyBuffer_Release(&data);
  PyObject *facts = PyTuple_New(10);
  if (!facts) return NULL;
  const int flags[] = {is_rtp, is_plain, is_run};
  const long long numbers[] = {
      is_one_source ? source : -1LL, is_one_time ? first_ticks : -1LL, first, last, first_ticks,
      ticks, is_one_type ? type : -1LL};
  for (int i = 0; i < 3; i++) PyTuple_SET_ITEM(facts, i, PyBool_FromLong(flags[i]));
  for (int i = 0; i < 7; i++) {
    PyObject *number = PyLong_FromLongLong(numbers[i]);
    if (!number) Py_CLEAR(facts);
    if (!facts) return NULL;
    PyTuple_SET_ITEM(facts, 3 + i, number);
  }
  return facts;
}

/* Where packet `index` lies: its offset and length in `place`; 0 when that is outside of the data. */
static int find_packet(const Py_buffer *data, const long long *n, PyObject *lengths,
                       PyObject *bounds, Py_ssize_t index, long long *place) {
  PyObject *offset = NULL, *length = PyList_GET_ITEM(lengths, index);
  if (bounds != Py_None) {
    PyObject *bound = index < PyList_GET_SIZE(bounds) ? PyList_GET_ITEM(bounds, index) : NULL;
    if (bound && PyTuple_Check(bound) && PyTuple_GET_SIZE(bound) == 2)
      offset = PyTuple_GET_ITEM(bound, 0);
    if (!offset) goto outside;
  }
  if (!PyLong_Check(length) || (offset && !PyLong_Check(offset))) goto outside;
  place[0] = offset ? PyLong_AsLongLong(offset) : n[0] + (long long)index * n[1];
  place[1] = PyLong_AsLongLong(length);
  if (PyErr_Occurred()) return 0;
  if (place[0] >= 0 && place[1] >= HEADER && place[0] <= data->len &&
      place[1] <= data->len - place[0])
    return 1;
outside:
  PyErr_SetString(PyExc_ValueError, "packets outside of the buffer");
  return 0;
}

/* Whether a packet begins with a pack header, as far as its fourth byte tells. */
static int seems_pack(const uint8_t *packet, long long length) {
  return length > HEADER + 3 && packet[HEADER + 3] == PACK_FOURTH;
}

/* join(data, start, stride, lengths, bounds, first) -> payload, end, timestamp, marker */
static PyObject *join(PyObject *module, PyObject *const *args, Py_ssize_t given) {
  long long n[3], place[2], length = 0;
  Py_buffer data;
  if (expect(given, 6) || read_numbers(args + 1, 2, n) || read_numbers(args + 5, 1, n + 2))
    return NULL;
  if (!PyList_Check(args[3]) || (args[4] != Py_None && !PyList_Check(args[4])))
    return PyErr_Format(PyExc_TypeError, "no lists");
  if (PyObject_GetBuffer(args[0], &data, PyBUF_SIMPLE)) return NULL;
  const uint8_t *bytes = data.buf, *packet = NULL;
  Py_ssize_t count = PyList_GET_SIZE(args[3]), first = (Py_ssize_t)n[2], end = first;
  long long size = 0, first_length = 0;
  uint32_t ticks = 0;
  PyObject *payload = NULL, *found = NULL;
  if (first < 0 || first >= count) {
    PyErr_SetString(PyExc_ValueError, "no such packet");
    goto done;
  }
  for (; end < count; end++, size += length - HEADER) {
    if (!find_packet(&data, n, args[3], args[4], end, place)) goto done;
    const uint8_t *next = bytes + place[0];
    if (end == first) {
      ticks = read32(next + 4);
      first_length = place[1];
    } else if (packet[1] & 0x80 || read32(next + 4) != ticks ||
               (length != first_length && seems_pack(next, place[1]))) {
      break;
    }
    packet = next;
    length = place[1];
  }
  int marker = packet[1] >> 7;
  if (!(payload = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size))) goto done;
  char *to = PyBytes_AS_STRING(payload);
  for (Py_ssize_t index = first; index < end; index++, to += place[1] - HEADER) {
    if (!find_packet(&data, n, args[3], args[4], index, place)) goto done;
    memcpy(to, bytes + place[0] + HEADER, (size_t)(place[1] - HEADER));
  }
  found = Py_BuildValue("OnIO", payload, end, ticks, marker ? Py_True : Py_False);
done:
  Py_XDECREF(payload);
  PyBuffer_Release(&data);
  return found;
}

static int is_audio(int type) {
  return type == 0 || type == 4 || type == 8 || type == 9 || type == 18 || type == 20;
}

/* rewrite(data, start, stride, count, ssrc, sequence_offset, timestamp_offset, payload_type) */
static PyObject *rewrite(PyObject *module, PyObject *const *args, Py_ssize_t given) {
  long long n[7];
  Py_buffer data;
  if (expect(given, 8) || read_numbers(args + 1, 7, n)) return NULL;
  if (PyObject_GetBuffer(args[0], &data, PyBUF_WRITABLE)) return NULL;
  if (!has_headers(&data, n[0], n[1], n[2])) {
    PyBuffer_Release(&data);
    return NULL;
  }
  uint8_t *p = (uint8_t *)data.buf + n[0];
  for (long long i = 0; i < n[2]; i++, p += n[1]) {
    uint32_t number = (uint32_t)(p[2] << 8 | p[3]) + (uint32_t)n[4];
    if (n[6] >= 0 && !is_audio(p[1] & 0x7F)) p[1] = (p[1] & 0x80) | (n[6] & 0x7F);
    p[2] = number >> 8;
    p[3] = number;
    write32(p + 4, read32(p + 4) + (uint32_t)n[5]);
    write32(p + 8, (uint32_t)n[3]);
  }
  PyBuffer_Release(&data);
  Py_RETURN_NONE;
}

/* receive(headers, most, fd) -> packets, or -1: recvmmsg into what the headers point to */
static PyObject *receive(PyObject *module, PyObject *const *args, Py_ssize_t given) {
  Py_buffer headers;
  if (expect(given, 3)) return NULL;
  long most = PyLong_AsLong(args[1]), fd = PyLong_AsLong(args[2]);
  if (PyErr_Occurred() || PyObject_GetBuffer(args[0], &headers, PyBUF_WRITABLE)) return NULL;
  if (most < 0 || most > headers.len / (Py_ssize_t)sizeof(struct mmsghdr)) {
    PyBuffer_Release(&headers);
    return PyErr_Format(PyExc_ValueError, "no room for %ld headers", most);
  }
  int count = recvmmsg((int)fd, headers.buf, (unsigned)most, MSG_DONTWAIT, NULL);
  PyBuffer_Release(&headers);
  return PyLong_FromLong(count);
}

/* lengths(headers, count, shortest, longest) -> list, or None when one is out of bounds */
static PyObject *lengths(PyObject *module, PyObject *const *args, Py_ssize_t given) {
  long long n[3];
  Py_buffer headers;
  if (expect(given, 4) || read_numbers(args + 1, 3, n)) return NULL;
  if (PyObject_GetBuffer(args[0], &headers, PyBUF_SIMPLE)) return NULL;
  const struct mmsghdr *header = headers.buf;
  PyObject *list = NULL;
  if (n[0] < 0 || n[0] > headers.len / (Py_ssize_t)sizeof *header) {
    PyErr_SetString(PyExc_ValueError, "more packets than headers");
  } else if ((list = PyList_New((Py_ssize_t)n[0]))) {
    for (Py_ssize_t i = 0; i < n[0]; i++) {
      PyObject *length = PyLong_FromLong(header[i].msg_len);
      if (!length || header[i].msg_len < n[1] || header[i].msg_len > n[2]) {
        Py_XDECREF(length);
        Py_CLEAR(list);
        if (!PyErr_Occurred()) list = Py_NewRef(Py_None);
        break;
      }
      PyList_SET_ITEM(list, i, length);
    }
  }
  PyBuffer_Release(&headers);
  return list;
}

/* send(fd, data, begin, end, segment, address) -> 0 or errno; segment 0 sends one datagram */
static PyObject *send_segments(PyObject *module, PyObject *const *args, Py_ssize_t given) {
  long long n[3];
  Py_buffer data;
  if (expect(given, 6) || read_numbers(args + 2, 3, n)) return NULL;
  long fd = PyLong_AsLong(args[0]);
  if (PyErr_Occurred()) return NULL;
  if (!PyBytes_Check(args[5])) return PyErr_Format(PyExc_TypeError, "no address");
  if (PyObject_GetBuffer(args[1], &data, PyBUF_SIMPLE)) return NULL;
  if (n[0] < 0 || n[0] > n[1] || n[1] > data.len) {
    PyBuffer_Release(&data);
    return PyErr_Format(PyExc_ValueError, "packets outside of the buffer");
  }
  struct iovec piece = {(char *)data.buf + n[0], (size_t)(n[1] - n[0])};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(uint16_t))];
  } control;
  struct msghdr message = {.msg_name = PyBytes_AS_STRING(args[5]),
                           .msg_namelen = (socklen_t)PyBytes_GET_SIZE(args[5]),
                           .msg_iov = &piece,
                           .msg_iovlen = 1};
  if (n[2]) {
    uint16_t size = (uint16_t)n[2];
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = sizeof control.room;
    control.header.cmsg_level = IPPROTO_UDP;
    control.header.cmsg_type = UDP_SEGMENT_OPTION;
    control.header.cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(&control.header), &size, sizeof size);
  }
  int failed = sendmsg((int)fd, &message, MSG_DONTWAIT) < 0 ? errno : 0;
  PyBuffer_Release(&data);
  return PyLong_FromLong(failed);
}

static PyMethodDef methods[] = {
    {"scan", (PyCFunction)(void (*)(void))scan, METH_FASTCALL, NULL},
    {"join", (PyCFunction)(void (*)(void))join, METH_FASTCALL, NULL},
    {"rewrite", (PyCFunction)(void (*)(void))rewrite, METH_FASTCALL, NULL},
    {"receive", (PyCFunction)(void (*)(void))receive, METH_FASTCALL, NULL},
    {"lengths", (PyCFunction)(void (*)(void))lengths, METH_FASTCALL, NULL},
    {"send", (PyCFunction)(void (*)(void))send_segments, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "rtp._native", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
