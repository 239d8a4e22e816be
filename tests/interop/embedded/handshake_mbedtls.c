/* A device on mbedTLS shows its chain to a server on mbedTLS that trusts the root alone.
 *
 *   handshake_mbedtls ROOT.pem CHAIN.pem KEY.pem SERVER.pem SERVER-KEY.pem
 *
 * CHAIN.pem is what the device would send: the leaf first, then every intermediate, no root. The server's own certificate is any;
 * the device does not judge it. The two sides talk through buffers in this process. Prints one line:
 * "accepted: N intermediates" (exit 0), "cannot load: ..." or "refused: ..." (exit 1). */
#include <stdio.h>
#include <string.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>

/* More than a handshake with eight certificates each way. */
enum { PIPE_OCTETS = 1 << 16, MOST_STEPS = 1000 };

struct pipe { unsigned char octets[PIPE_OCTETS]; size_t from, until; };
struct end { struct pipe *in, *out; };

static int send_to(void *context, const unsigned char *octets, size_t length)
{
    struct pipe *out = ((struct end *)context)->out;
    if (length > PIPE_OCTETS - out->until)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    memcpy(out->octets + out->until, octets, length);
    out->until += length;
    return (int)length;
}

static int receive_from(void *context, unsigned char *octets, size_t length)
{
    struct pipe *in = ((struct end *)context)->in;
    size_t there = in->until - in->from;
    if (there == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    if (length > there)
        length = there;
    memcpy(octets, in->octets + in->from, length);
    in->from += length;
    return (int)length;
}

static int failed(const char *what, const char *file, int code)
{
    char text[200];
    mbedtls_strerror(code, text, sizeof text);
    printf("%s: %s: -0x%04x %s\n", what, file, (unsigned)-code, text);
    return 1;
}

/* Reads a PEM file; a positive answer of mbedTLS counts the certificates that it cannot parse. */
static int load(mbedtls_x509_crt *certificates, const char *file)
{
    int code = mbedtls_x509_crt_parse_file(certificates, file);
    if (code > 0) {
        printf("cannot load: %s: %d certificates cannot be parsed\n", file, code);
        return 1;
    }
    return code == 0 ? 0 : failed("cannot load", file, code);
}

static int load_key(mbedtls_pk_context *key, const char *file, mbedtls_x509_crt *certificates)
{
    int code = mbedtls_pk_parse_keyfile(key, file, NULL);
    if (code == 0)
        code = mbedtls_pk_check_pair(&certificates->pk, key);
    return code == 0 ? 0 : failed("cannot load", file, code);
}

static int set_up(mbedtls_ssl_context *ssl, mbedtls_ssl_config *config, int side, mbedtls_ctr_drbg_context *random,
                  mbedtls_x509_crt *chain, mbedtls_pk_context *key)
{
    int code = mbedtls_ssl_config_defaults(config, side, MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, random);
    if (code == 0)
        code = mbedtls_ssl_conf_own_cert(config, chain, key);
    if (code == 0)
        code = mbedtls_ssl_setup(ssl, config);
    return code;
}

/* Lets both sides step until both are done or one gives up. */
static int shake_hands(mbedtls_ssl_context *device, mbedtls_ssl_context *server)
{
    for (int step = 0; step < MOST_STEPS; step++) {
        int one = mbedtls_ssl_handshake(device), other = mbedtls_ssl_handshake(server);
        if (one == 0 && other == 0)
            return 0;
        if (other != 0 && other != MBEDTLS_ERR_SSL_WANT_READ)
            return other;
        if (one != 0 && one != MBEDTLS_ERR_SSL_WANT_READ)
            return one;
    }
    return MBEDTLS_ERR_SSL_TIMEOUT;
}

int main(int count, char **arguments)
{
    static struct pipe up, down;
    struct end device_end = { &down, &up }, server_end = { &up, &down };
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_x509_crt root, chain, server_chain;
    mbedtls_pk_context key, server_key;
    mbedtls_ssl_config device_config, server_config;
    mbedtls_ssl_context device, server;

    if (count != 6) {
        fprintf(stderr, "usage: %s ROOT.pem CHAIN.pem KEY.pem SERVER.pem SERVER-KEY.pem\n", arguments[0]);
        return 2;
    }
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    mbedtls_x509_crt_init(&root);
    mbedtls_x509_crt_init(&chain);
    mbedtls_x509_crt_init(&server_chain);
    mbedtls_pk_init(&key);
    mbedtls_pk_init(&server_key);
    mbedtls_ssl_config_init(&device_config);
    mbedtls_ssl_config_init(&server_config);
    mbedtls_ssl_init(&device);
    mbedtls_ssl_init(&server);

    if (mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0) != 0)
        return 2;
    if (load(&root, arguments[1]) != 0 || load(&chain, arguments[2]) != 0 || load_key(&key, arguments[3], &chain) != 0
        || load(&server_chain, arguments[4]) != 0 || load_key(&server_key, arguments[5], &server_chain) != 0)
        return 1;

    mbedtls_ssl_conf_ca_chain(&server_config, &root, NULL);
    if (set_up(&device, &device_config, MBEDTLS_SSL_IS_CLIENT, &random, &chain, &key) != 0
        || set_up(&server, &server_config, MBEDTLS_SSL_IS_SERVER, &random, &server_chain, &server_key) != 0)
        return 2;
    mbedtls_ssl_conf_authmode(&device_config, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_authmode(&server_config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_set_bio(&device, &device_end, send_to, receive_from, NULL);
    mbedtls_ssl_set_bio(&server, &server_end, send_to, receive_from, NULL);

    int code = shake_hands(&device, &server);
    if (code != 0)
        return failed("refused", arguments[2], code);
    if (mbedtls_ssl_get_verify_result(&server) != 0) {
        printf("refused: %s: verify flags 0x%x\n", arguments[2], (unsigned)mbedtls_ssl_get_verify_result(&server));
        return 1;
    }
    int intermediates = 0;
    for (const mbedtls_x509_crt *sent = mbedtls_ssl_get_peer_cert(&server)->next; sent != NULL; sent = sent->next)
        intermediates++;
    printf("accepted: %d intermediates\n", intermediates);
    return 0;
}
