"""A throw-away certificate for servers that speak TLS."""
import subprocess


def make_certificate(folder):
    """Write folder/tls.pem (key and certificate)."""
    pem = folder / "tls.pem"
    key, certificate = folder / "tls.key", folder / "tls.crt"
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    pem.write_bytes(key.read_bytes() + certificate.read_bytes())
    pem.chmod(0o600)
    return pem
