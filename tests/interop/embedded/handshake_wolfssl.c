/* A device on wolfSSL shows its chain to a server on wolfSSL that trusts the root alone.
 *
 *   handshake_wolfssl ROOT.pem CHAIN.pem KEY.pem SERVER.pem SERVER-KEY.pem
 *
 * CHAIN.pem is what the device would send: the leaf first, then every intermediate, no root. The server's own certificate is any;
 * the device does not judge it. The two sides talk through buffers in this process. Prints one line:
 * "accepted" (exit 0), "cannot load: ..." or "refused: ..." (exit 1). */
#include <stdio.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

/* More than a handshake with eight certificates each way. */
enum { PIPE_OCTETS = 1 << 16, MOST_STEPS = 1000 };

struct pipe { char octets[PIPE_OCTETS]; int from, until; };
struct end { struct pipe *in, *out; };

static int send_to(WOLFSSL *ssl, char *octets, int length, void *context)
{
    struct pipe *out = ((struct end *)context)->out;
    (void)ssl;
    if (length > PIPE_OCTETS - out->until)
        return WOLFSSL_CBIO_ERR_WANT_WRITE;
    memcpy(out->octets + out->until, octets, (size_t)length);
    out->until += length;
    return length;
}

static int receive_from(WOLFSSL *ssl, char *octets, int length, void *context)
{
    struct pipe *in = ((struct end *)context)->in;
    int there = in->until - in->from;
    (void)ssl;
    if (there == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    if (length > there)
        length = there;
    memcpy(octets, in->octets + in->from, (size_t)length);
    in->from += length;
    return length;
}

static int failed(const char *what, const char *file, int code)
{
    char text[WOLFSSL_MAX_ERROR_SZ];
    printf("%s: %s: %d %s\n", what, file, code, wolfSSL_ERR_error_string((unsigned long)code, text));
    return 1;
}

/* What a side shows of itself. */
static int load_own(WOLFSSL_CTX *side, const char *chain, const char *key)
{
    int code = wolfSSL_CTX_use_certificate_chain_file(side, chain);
    if (code != WOLFSSL_SUCCESS)
        return failed("cannot load", chain, code);
    code = wolfSSL_CTX_use_PrivateKey_file(side, key, WOLFSSL_FILETYPE_PEM);
    if (code != WOLFSSL_SUCCESS || wolfSSL_CTX_check_private_key(side) != WOLFSSL_SUCCESS)
        return failed("cannot load", key, code);
    wolfSSL_CTX_SetIOSend(side, send_to);
    wolfSSL_CTX_SetIORecv(side, receive_from);
    return 0;
}

/* Lets both sides step until both are done or one gives up; answers that one's error. */
static int shake_hands(WOLFSSL *device, WOLFSSL *server)
{
    for (int step = 0; step < MOST_STEPS; step++) {
        int one = wolfSSL_connect(device), other = wolfSSL_accept(server);
        if (one == WOLFSSL_SUCCESS && other == WOLFSSL_SUCCESS)
            return 0;
        int of_server = wolfSSL_get_error(server, other), of_device = wolfSSL_get_error(device, one);
        if (other != WOLFSSL_SUCCESS && of_server != WOLFSSL_ERROR_WANT_READ)
            return of_server;
        if (one != WOLFSSL_SUCCESS && of_device != WOLFSSL_ERROR_WANT_READ)
            return of_device;
    }
    return WOLFSSL_ERROR_WANT_READ;
}

int main(int count, char **arguments)
{
    static struct pipe up, down;
    struct end device_end = { &down, &up }, server_end = { &up, &down };

    if (count != 6) {
        fprintf(stderr, "usage: %s ROOT.pem CHAIN.pem KEY.pem SERVER.pem SERVER-KEY.pem\n", arguments[0]);
        return 2;
    }
    wolfSSL_Init();
    WOLFSSL_CTX *device_side = wolfSSL_CTX_new(wolfTLS_client_method());
    WOLFSSL_CTX *server_side = wolfSSL_CTX_new(wolfTLS_server_method());
    if (device_side == NULL || server_side == NULL)
        return 2;
    int code = wolfSSL_CTX_load_verify_locations(server_side, arguments[1], NULL);
    if (code != WOLFSSL_SUCCESS)
        return failed("cannot load", arguments[1], code);
    if (load_own(device_side, arguments[2], arguments[3]) != 0 || load_own(server_side, arguments[4], arguments[5]) != 0)
        return 1;
    wolfSSL_CTX_set_verify(device_side, WOLFSSL_VERIFY_NONE, NULL);
    wolfSSL_CTX_set_verify(server_side, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);

    WOLFSSL *device = wolfSSL_new(device_side), *server = wolfSSL_new(server_side);
    if (device == NULL || server == NULL)
        return 2;
    wolfSSL_SetIOReadCtx(device, &device_end);
    wolfSSL_SetIOWriteCtx(device, &device_end);
    wolfSSL_SetIOReadCtx(server, &server_end);
    wolfSSL_SetIOWriteCtx(server, &server_end);

    code = shake_hands(device, server);
    if (code != 0)
        return failed("refused", arguments[2], code);
    printf("accepted\n");
    return 0;
}
