package natsconn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsd"
	"github.com/rbee-keeper/hive/internal/natstest"
)

func TestConnectOverTLS(t *testing.T) {
	t.Parallel()
	cert, key := certificate(t)
	conf := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true, timeout: 60 }", cert, key, cert)
	server := serve(t, natsd.Config{ConfigFile: write(t, "nats.conf", conf)}).URL()

	nc, err := Connect(t.Context(), Config{Server: server, TLSCA: cert, TLSCert: cert, TLSKey: key}, Options{})
	require.NoError(t, err)
	nc.Close()

	_, err = Connect(t.Context(), Config{Server: server}, Options{})
	require.ErrorContains(t, err, "is not trusted")
	require.ErrorContains(t, err, "--tls-ca (NATS_CA)")

	_, err = Connect(t.Context(), Config{Server: server, TLSCA: cert}, Options{})
	require.ErrorContains(t, err, "connect to NATS at ")

	_, err = Connect(t.Context(), Config{Server: natstest.Server(t).URL(), TLSCA: cert}, Options{})
	require.ErrorContains(t, err, "does not offer TLS")
}

func TestConnectToWhatIsNoNATSServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err == nil {
			fmt.Fprint(conn, "220 mail.example ESMTP\r\n")
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-ended })

	_, err = Connect(t.Context(), Config{Server: "nats://" + listener.Addr().String()}, Options{})
	require.ErrorContains(t, err, "is no NATS server: check the port")
}

// certificate returns the files of a certificate for 127.0.0.1, its own authority, and of its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}
