/* Relay of N RTP streams over TCP (RFC 4571), paced by its sender: what a gateway does, in C.
 * tcp_relay_multi INPORT STEP N OUTHOST OUTPORT SECONDS SSRC0 NEWSSRC0
 * Stream i is accepted on INPORT+i*STEP with SSRC0+i and leaves over a connection of its own with
 * NEWSSRC0+i, its own sequence numbers and timestamp base: 64 KiB read, frames walked and
 * rewritten in place, one write. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define SIZE 65536

typedef struct {
  int listening, in, out;
  uint32_t ssrc, new_ssrc, ts_offset;
  uint16_t seq_offset, next;
  int begun;
  size_t have;
  uint64_t packets, lost, foreign;
  uint8_t buf[2 * SIZE];
} stream_t;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void rewrite(stream_t *s, uint8_t *p) {
  uint32_t ssrc, ts;
  memcpy(&ssrc, p + 8, 4);
  if (p[0] >> 6 != 2 || ntohl(ssrc) != s->ssrc) { s->foreign++; return; }
  uint16_t seq = p[2] << 8 | p[3];
  memcpy(&ts, p + 4, 4);
  if (!s->begun) { s->begun = 1; s->seq_offset = -seq; s->ts_offset = 1000 - ntohl(ts); }
  else if (seq != s->next) s->lost++;
  s->next = seq + 1;
  seq += s->seq_offset;
  p[1] = (p[1] & 0x80) | 96;
  p[2] = seq >> 8;
  p[3] = seq;
  ts = htonl(ntohl(ts) + s->ts_offset);
  ssrc = htonl(s->new_ssrc);
  memcpy(p + 4, &ts, 4);
  memcpy(p + 8, &ssrc, 4);
  s->packets++;
}

static int relay(stream_t *s) {
  ssize_t n = read(s->in, s->buf + s->have, SIZE);
  if (n <= 0) return n < 0 && errno == EAGAIN ? 0 : -1;
  s->have += n;
  size_t q = 0;
  while (q + 2 <= s->have) {
    size_t length = s->buf[q] << 8 | s->buf[q + 1];
    if (q + 2 + length > s->have) break;
    if (length >= 12) rewrite(s, s->buf + q + 2);
    q += 2 + length;
  }
  for (size_t d = 0; d < q;) {
    ssize_t w = send(s->out, s->buf + d, q - d, MSG_NOSIGNAL);
    if (w <= 0) return -1;
    d += w;
  }
  memmove(s->buf, s->buf + q, s->have - q);
  s->have -= q;
  return 0;
}

int main(int c, char **v) {
  if (c < 9) return 2;
  int port = atoi(v[1]), step = atoi(v[2]), n = atoi(v[3]), e = epoll_create1(0), one = 1;
  double seconds = atof(v[6]), t0 = now();
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(v[5]))};
  inet_pton(AF_INET, v[4], &to.sin_addr);
  stream_t *streams = calloc(n, sizeof *streams);
  for (int i = 0; i < n; i++) {
    stream_t *s = &streams[i];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port + i * step)};
    s->listening = socket(AF_INET, SOCK_STREAM, 0);
    s->in = -1;
    s->out = socket(AF_INET, SOCK_STREAM, 0);
    s->ssrc = strtoul(v[7], 0, 0) + i;
    s->new_ssrc = strtoul(v[8], 0, 0) + i;
    setsockopt(s->listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(s->out, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(s->listening, (void *)&a, sizeof a) || listen(s->listening, 1) ||
        connect(s->out, (void *)&to, sizeof to)) {
      perror("bind");
      return 1;
    }
    struct epoll_event ev = {EPOLLIN, {.ptr = s}};
    epoll_ctl(e, EPOLL_CTL_ADD, s->listening, &ev);
  }
  puts("ready");
  fflush(stdout);
  while (now() - t0 < seconds) {
    struct epoll_event es[64];
    int ready = epoll_wait(e, es, 64, 500);
    for (int x = 0; x < ready; x++) {
      stream_t *s = es[x].data.ptr;
      if (s->in < 0) {
        s->in = accept4(s->listening, 0, 0, SOCK_NONBLOCK);
        epoll_ctl(e, EPOLL_CTL_DEL, s->listening, 0);
        struct epoll_event ev = {EPOLLIN, {.ptr = s}};
        epoll_ctl(e, EPOLL_CTL_ADD, s->in, &ev);
      } else if (relay(s)) {
        epoll_ctl(e, EPOLL_CTL_DEL, s->in, 0);
      }
    }
  }
}
