/* Relay of N RTP streams over UDP: what a gateway does, in C, as the bound.
 * udp_relay_multi INPORT STEP N OUTHOST OUTPORT SECONDS SSRC0 NEWSSRC0
 * Stream i comes to INPORT+i*STEP with SSRC0+i and leaves by a socket of its own with
 * NEWSSRC0+i, its own sequence numbers and timestamp base. The source (address, SSRC) is locked by
 * the first packet. recvmmsg in, UDP_SEGMENT out. TICK_US in the environment sleeps that long
 * after each pass, so that packets gather. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define BATCH 46

typedef struct {
  int in, out;
  uint32_t ssrc, new_ssrc, ts_offset;
  uint16_t seq_offset, next;
  int locked, begun;
  struct sockaddr_in source;
  uint64_t packets, lost, foreign;
} stream_t;

static uint8_t buf[BATCH][2048], ctl[BATCH][64];
static struct sockaddr_in names[BATCH];
static struct mmsghdr rx[BATCH], tx[BATCH];
static struct iovec ri[BATCH], ti[BATCH];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

/* Whether the packet belongs to the stream; rewrites its header when it does. */
static int take(stream_t *s, uint8_t *p, int len, const struct sockaddr_in *from) {
  uint32_t ssrc, ts;
  if (len < 12 || p[0] >> 6 != 2 || (p[1] >= 200 && p[1] <= 204)) return 0;
  memcpy(&ssrc, p + 8, 4);
  if (ntohl(ssrc) != s->ssrc) { s->foreign++; return 0; }
  if (!s->locked) { s->source = *from; s->locked = 1; }
  else if (s->source.sin_port != from->sin_port || s->source.sin_addr.s_addr != from->sin_addr.s_addr) {
    s->foreign++;
    return 0;
  }
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
  return 1;
}

static void relay(stream_t *s) {
  for (int i = 0; i < BATCH; i++) rx[i].msg_hdr.msg_namelen = sizeof names[0];
  int k = recvmmsg(s->in, rx, BATCH, MSG_DONTWAIT, 0), kept = 0, m = 0, len[BATCH];
  for (int i = 0; i < k; i++)
    if (take(s, buf[i], rx[i].msg_len, &names[i])) {
      ti[kept].iov_base = buf[i];
      ti[kept].iov_len = len[kept] = rx[i].msg_len;
      kept++;
    }
  for (int i = 0; i < kept; m++) {
    int first = i, seg = len[i], total = seg;
    for (i++; i < kept && len[i] <= seg && total + len[i] <= 65000;) {
      total += len[i++];
      if (len[i - 1] < seg) break;
    }
    struct msghdr *h = &tx[m].msg_hdr;
    memset(h, 0, sizeof *h);
    h->msg_iov = &ti[first];
    h->msg_iovlen = i - first;
    if (i - first > 1) {
      struct cmsghdr *q = (void *)ctl[m];
      q->cmsg_level = IPPROTO_UDP;
      q->cmsg_type = UDP_SEGMENT;
      q->cmsg_len = CMSG_LEN(2);
      *(uint16_t *)CMSG_DATA(q) = seg;
      h->msg_control = q;
      h->msg_controllen = CMSG_SPACE(2);
    }
  }
  for (int q = 0; q < m;) {
    int w = sendmmsg(s->out, tx + q, m - q, 0);
    if (w <= 0) break;
    q += w;
  }
}

int main(int c, char **v) {
  if (c < 9) return 2;
  int port = atoi(v[1]), step = atoi(v[2]), n = atoi(v[3]), e = epoll_create1(0);
  double seconds = atof(v[6]), t0 = now();
  int tick = getenv("TICK_US") ? atoi(getenv("TICK_US")) : 0, big = 4 << 20;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(v[5]))};
  inet_pton(AF_INET, v[4], &to.sin_addr);
  stream_t *streams = calloc(n, sizeof *streams);
  for (int i = 0; i < n; i++) {
    stream_t *s = &streams[i];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port + i * step)};
    s->in = socket(AF_INET, SOCK_DGRAM, 0);
    s->out = socket(AF_INET, SOCK_DGRAM, 0);
    s->ssrc = strtoul(v[7], 0, 0) + i;
    s->new_ssrc = strtoul(v[8], 0, 0) + i;
    if (setsockopt(s->in, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof big))
      setsockopt(s->in, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
    if (bind(s->in, (void *)&a, sizeof a) || connect(s->out, (void *)&to, sizeof to)) {
      perror("bind");
      return 1;
    }
    struct epoll_event ev = {EPOLLIN, {.ptr = s}};
    epoll_ctl(e, EPOLL_CTL_ADD, s->in, &ev);
  }
  for (int i = 0; i < BATCH; i++) {
    ri[i] = (struct iovec){buf[i], 2048};
    rx[i].msg_hdr = (struct msghdr){.msg_name = &names[i], .msg_iov = &ri[i], .msg_iovlen = 1};
  }
  puts("ready");
  fflush(stdout);
  while (now() - t0 < seconds) {
    struct epoll_event es[64];
    int ready = epoll_wait(e, es, 64, 500);
    for (int x = 0; x < ready; x++) relay(es[x].data.ptr);
    if (tick) {
      struct timespec ts = {0, tick * 1000L};
      nanosleep(&ts, 0);
    }
  }
}
