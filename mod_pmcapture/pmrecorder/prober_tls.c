/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * prober_tls.c: a client's end of TLS, and certificates, by OpenSSL. Nothing is verified but what is reported: a probe
 * entrusts nothing to the server that it looks at.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "certificate_file.h"
#include "pm_text.h"
#include "pm_time.h"
#include "prober.h"

struct pm_tls {
    SSL *ssl;
    int wants_client;
    unsigned long error;
};

/* ---- certificates ---- */

static uint64_t to_us(const ASN1_TIME *at)
{
    struct tm tm;
    time_t seconds;

    if (at == NULL || ASN1_TIME_to_tm(at, &tm) != 1) {
        return 0;
    }
    seconds = timegm(&tm);
    return seconds > 0 ? (uint64_t)seconds * PM_SECOND : 1;
}

/** The first name that it is for, else its subject's. */
static void take_subject(X509 *x, char out[PM_CERTIFICATE_NAME])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    char raw[PM_CERTIFICATE_NAME] = "";

    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names) && raw[0] == '\0'; i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        int len = n->type == GEN_DNS ? ASN1_STRING_length(n->d.dNSName) : 0;

        if (len > 0 && len < (int)sizeof(raw)) {
            memcpy(raw, ASN1_STRING_get0_data(n->d.dNSName), (size_t)len);
            raw[len] = '\0';
        }
    }
    if (raw[0] == '\0') {
        X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, raw, sizeof(raw));
    }
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
    pm_text_clean(out, PM_CERTIFICATE_NAME, raw, sizeof(raw));
}

static void describe(X509 *x, const char *name, pm_certificate *out)
{
    unsigned len = sizeof(out->print);

    memset(out, 0, sizeof(*out));
    out->not_before_us = to_us(X509_get0_notBefore(x));
    out->not_after_us = to_us(X509_get0_notAfter(x));
    X509_digest(x, EVP_sha256(), out->print, &len);
    out->mismatch = name[0] != '\0' && X509_check_host(x, name, 0, 0, NULL) != 1;
    take_subject(x, out->subject);
    ERR_clear_error();
}

int pm_certificate_parse(const char *pem, size_t len, const char *name, pm_certificate *out)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    X509 *x = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

    if (x != NULL) {
        describe(x, name, out);
    }
    X509_free(x);
    BIO_free(bio);
    ERR_clear_error();
    return x != NULL;
}

/* ---- a connection ---- */

static int on_client_certificate(SSL *ssl, X509 **x, EVP_PKEY **key)
{
    pm_tls *t = SSL_get_app_data(ssl);

    (void)x;
    (void)key;
    if (t != NULL) {
        t->wants_client = 1;
    }
    return 0; /* there is none */
}

/** One for the thread's life. Old servers are looked at, too. */
static SSL_CTX *context(void)
{
    static SSL_CTX *made;

    if (made == NULL && (made = SSL_CTX_new(TLS_client_method())) != NULL) {
        SSL_CTX_set_verify(made, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_security_level(made, 0);
        SSL_CTX_set_min_proto_version(made, TLS1_VERSION);
        SSL_CTX_set_cipher_list(made, "ALL:!aNULL");
        SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_client_cert_cb(made, on_client_certificate);
    }
    return made;
}

pm_tls *pm_tls_begin(int fd, const char *name)
{
    SSL_CTX *with = context();
    pm_tls *t = with != NULL ? calloc(1, sizeof(*t)) : NULL;

    if (t == NULL || (t->ssl = SSL_new(with)) == NULL || SSL_set_fd(t->ssl, fd) != 1) {
        pm_tls_end(t);
        return NULL;
    }
    SSL_set_app_data(t->ssl, t);
    SSL_set_connect_state(t->ssl);
    if (name[0] != '\0') {
        SSL_set_tlsext_host_name(t->ssl, name);
    }
    return t;
}

void pm_tls_end(pm_tls *t)
{
    if (t != NULL) {
        SSL_free(t->ssl);
        free(t);
    }
}

static enum pm_tls_step what_next(pm_tls *t, int result)
{
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return PM_TLS_READ;
    case SSL_ERROR_WANT_WRITE:
        return PM_TLS_WRITE;
    default:
        t->error = ERR_peek_last_error();
        return PM_TLS_FAILED;
    }
}

enum pm_tls_step pm_tls_handshake(pm_tls *t)
{
    int result;

    ERR_clear_error();
    result = SSL_do_handshake(t->ssl);
    return result == 1 ? PM_TLS_DONE : what_next(t, result);
}

enum pm_tls_step pm_tls_read(pm_tls *t, void *to, size_t room, size_t *n)
{
    int result;

    *n = 0;
    ERR_clear_error();
    result = SSL_read_ex(t->ssl, to, room, n);
    if (result == 1) {
        return PM_TLS_DONE;
    }
    if (SSL_get_error(t->ssl, result) == SSL_ERROR_ZERO_RETURN) {
        return PM_TLS_DONE;
    }
    return what_next(t, result);
}

enum pm_tls_step pm_tls_write(pm_tls *t, const void *from, size_t len, size_t *n)
{
    int result;

    *n = 0;
    ERR_clear_error();
    result = SSL_write_ex(t->ssl, from, len, n);
    return result == 1 ? PM_TLS_DONE : what_next(t, result);
}

void pm_tls_certificate(const pm_tls *t, const char *name, pm_certificate *out)
{
    X509 *x = SSL_get0_peer_certificate(t->ssl);

    memset(out, 0, sizeof(*out));
    if (x != NULL) {
        describe(x, name, out);
    }
}

int pm_tls_wants_client(const pm_tls *t)
{
    return t->wants_client;
}

void pm_tls_reason(const pm_tls *t, char out[120])
{
    const char *why = t->error != 0 ? ERR_reason_error_string(t->error) : NULL;

    pm_text_clean(out, 120, why != NULL ? why : "the connection was closed", 120);
}
