/* SPDX-License-Identifier: MIT */
/* A server's end of TLS, in threads of the test, in front of a plain port: it sends what a server
   may send at any time, and what Redis itself never does. A client that asks for TLS first, as
   PostgreSQL's do, is answered that it may begin. */
#ifndef IDEM_TESTS_TLS_GATE_H
#define IDEM_TESTS_TLS_GATE_H

typedef enum {
    TLS_GATE_TICKET = 1,   /* another session ticket */
    TLS_GATE_KEY_UPDATE,   /* new keys, and the wish that the client takes new ones too */
    TLS_GATE_RENEGOTIATION /* with TLS 1.2: the wish for another handshake */
} tls_gate_act;

typedef struct tls_gate tls_gate;

/** @param folder   with server.crt and server.key
 *  @param version  TLS1_2_VERSION or TLS1_3_VERSION */
tls_gate *tls_gate_start(int port, const char *folder, int version);
void tls_gate_stop(tls_gate *self);

int tls_gate_port(const tls_gate *self);

/** Does it on each connection that there is, and waits until it is sent. */
void tls_gate_do(tls_gate *self, tls_gate_act act);

/** From now on it waits for more of the server's bytes, to send them in the largest records. */
void tls_gate_gather(tls_gate *self);

/** How many connections there have been. */
int tls_gate_connections(tls_gate *self);

#endif
