package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"github.com/rbee-keeper/hive/internal/natsconn"
	"github.com/rbee-keeper/hive/internal/natstest"
	"github.com/rbee-keeper/hive/messages"
	"github.com/rbee-keeper/hive/spawner/process"
)

func TestExamineAServer(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	cfg.NATS.Server = natstest.Server(t).URL()
	report := Examine(t.Context(), cfg)
	requireSound(t, report)
	require.Zero(t, report.Failures, "%v", report.Checks)
	for name, want := range map[string]string{
		"connection": "connected to nats://127.0.0.1:", "credentials": "the server asks for none", "tls": "does not leave this machine",
		"round_trip": "the best of five", "version": "nats-server 2.", "max_payload": "1024 KiB; a job may have 64",
		"same_id": "no process serves hive gpu-1",
	} {
		check := report.one(t, "server", name)
		require.Equal(t, OK, check.Status, "%v", check)
		require.Contains(t, check.Message, want)
	}
}

func TestRefusedCredentials(t *testing.T) {
	t.Parallel()
	server := serveConfig(t, deployedWith(t, "", ""))
	for name, test := range map[string]struct {
		nats   natsconn.Config
		advice string
	}{
		"wrong": {natsconn.Config{User: "hive-gpu-1", Password: "secret-but-wrong"}, "check user hive-gpu-1 and its password"},
		"none":  {natsconn.Config{}, "give --creds, --nkey, --user or --token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := newConfig(t)
			cfg.NATS = test.nats
			cfg.NATS.Server = server.URL()
			report := Examine(t.Context(), cfg)
			requireSound(t, report)
			require.Equal(t, OK, report.one(t, "server", "connection").Status, "it can be reached")
			credentials := report.one(t, "server", "credentials")
			require.Equal(t, Failure, credentials.Status)
			require.Contains(t, credentials.Advice, test.advice)
			require.Equal(t, Warning, report.one(t, "permissions", "grants").Status)
			require.NotContains(t, fmt.Sprint(report), "secret-but-wrong")
		})
	}
}

// What listens and says nothing takes the time that it is given and no more.
func TestASilentServerIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := newConfig(t)
	cfg.NATS.Server, cfg.Timeout = "nats://"+listener.Addr().String(), 300*time.Millisecond
	e := examiner{Config: cfg}
	require.Eventually(t, func() bool { // on a machine that stands still it takes longer
		begin := time.Now()
		nc, found := e.connect(t.Context())
		require.Nil(t, nc)
		require.Len(t, found, 1)
		require.Equal(t, Failure, found[0].Status)
		require.Equal(t, "no NATS server answers at nats://"+listener.Addr().String()+" within 300ms", found[0].Message)
		return time.Since(begin) < 2*time.Second
	}, time.Minute, time.Millisecond)
	require.NoError(t, listener.Close()) // resets the connection that waits in its queue, and so ends what was left behind
}

func TestAServerWithALowMaxPayload(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	cfg.NATS.Server = serveConfig(t, "max_payload: 32KB").URL()
	check := Examine(t.Context(), cfg).one(t, "server", "max_payload")
	require.Equal(t, Failure, check.Status)
	require.Equal(t, "the server takes 32768 bytes in a message, a job may have 65536", check.Message)
	require.Contains(t, check.Advice, "max_payload")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lasts   time.Duration
		status  Status
		message string
	}{
		"for long":     {90 * 24 * time.Hour, OK, "TLS 1.3, certificate until 20"},
		"ending soon":  {time.Hour, Warning, "TLS 1.3, but the server's certificate ends in 1h"},
		"ended before": {-time.Hour, Failure, "is not trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cert, key := certificate(t, test.lasts)
			cfg := newConfig(t)
			cfg.NATS = natsconn.Config{Server: serveConfig(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q, timeout: 60 }", cert, key)).URL(), TLSCA: cert}
			report := Examine(t.Context(), cfg)
			check := report.all("server", "tls")
			if test.status == Failure {
				check = report.all("server", "connection")
			}
			require.Len(t, check, 1)
			require.Equal(t, test.status, check[0].Status, "%v", check)
			require.Contains(t, check[0].Message, test.message)
		})
	}
}

// certificate returns the files of a certificate for 127.0.0.1, its own authority, and of its key.
func certificate(t *testing.T, lasts time.Duration) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(lasts),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

// A process elsewhere that serves the same id is found, and processes of other hives and fleets are not taken for one.
func TestSameIDElsewhere(t *testing.T) {
	t.Parallel()
	server := natstest.Server(t)
	nc := natstest.Dial(t, server.URL())
	serve := func(hive, prefix, host string) {
		_, err := micro.AddService(nc, micro.Config{Name: messages.ServiceName, Version: "1.0.0", Metadata: map[string]string{
			messages.MetaHiveID: hive, messages.MetaPrefix: prefix, messages.MetaHost: host,
		}})
		require.NoError(t, err)
	}
	host, err := os.Hostname()
	require.NoError(t, err)
	serve("gpu-2", messages.DefaultPrefix, "elsewhere")
	serve("gpu-1", "other.fleet", "elsewhere")
	serve("gpu-1", messages.DefaultPrefix, host)
	require.NoError(t, nc.Flush())
	cfg := newConfig(t)
	cfg.NATS.Server = server.URL()
	says := func(status Status, message string) (check Check) {
		t.Helper()
		require.Eventually(t, func() bool { // a process that is slow to answer is not heard
			check = Examine(t.Context(), cfg).one(t, "server", "same_id")
			return check.Status == status && strings.Contains(check.Message, message)
		}, time.Minute, time.Millisecond, "%v", check)
		return check
	}
	says(OK, "served on this host ("+host+"), by one process")

	serve("gpu-1", messages.DefaultPrefix, "elsewhere")
	require.NoError(t, nc.Flush())
	check := says(Warning, "one process elsewhere, on elsewhere: two machines with one id share its jobs")
	require.Contains(t, check.Advice, "--hive-id")

	cfg.Subjects = subjects(t, "third")
	require.Contains(t, Examine(t.Context(), cfg).one(t, "server", "same_id").Message, "no process")
}

func TestSameIDOnAHostThatIsNotNamed(t *testing.T) {
	t.Parallel()
	e := examiner{Config: Config{HiveID: "gpu-1"}}
	check := only(t, func(context.Context) []Check { return e.judge([]map[string]string{{}, {}}) })
	require.Equal(t, Warning, check.Status)
	require.Contains(t, check.Message, "2 processes elsewhere, on a host that it does not name")
}

// Two hives of one machine are two hives: their run directories tell, where they are told.
func TestSameIDOnThisHost(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	require.NoError(t, err)
	e := examiner{Config: Config{HiveID: "gpu-1", RunDir: t.TempDir()}}
	mine := map[string]string{messages.MetaHost: host, messages.MetaRunDir: process.Mark(e.RunDir)}
	for what, test := range map[string]struct {
		meta   map[string]string
		status Status
		says   string
	}{
		"the same": {mine, OK, "by 2 processes"},
		"untold":   {map[string]string{messages.MetaHost: host}, OK, "by 2 processes"},
		"another": {
			map[string]string{messages.MetaHost: host, messages.MetaRunDir: process.Mark(t.TempDir())},
			Warning, "one process on this host with another run directory than " + e.RunDir,
		},
	} {
		check := only(t, func(context.Context) []Check { return e.judge([]map[string]string{mine, test.meta}) })
		require.Equal(t, test.status, check.Status, what)
		require.Contains(t, check.Message, test.says, what)
	}
}
