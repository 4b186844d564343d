package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// authority makes certificates for this machine, numbered from 1.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1000), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes the next certificate, and its key, in PEM.
func (a *authority) issue() (cert, key []byte) {
	a.t.Helper()
	a.last++
	k := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.last), Subject: pkix.Name{CommonName: "telluride"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: plain})
}

// client trusts the authority, and connects anew for every request.
func (a *authority) client() *http.Client {
	trusted := x509.NewCertPool()
	trusted.AddCert(a.cert)
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// replace puts a file in the place of another, as certbot and cert-manager do.
func replace(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func TestThePageAndTheAPIAreServedOverTLS(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	cert, key, token := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "token")
	c, k := a.issue()
	replace(t, cert, c)
	replace(t, key, k)
	replace(t, token, []byte("0123456789abcdef"))
	f := newFake()
	serving := make(chan string, 1)
	at := regexp.MustCompile(`msg=serving url=(\S+)/`)
	f.err.wrote = func(all string) {
		if m := at.FindStringSubmatch(all); m != nil {
			select {
			case serving <- m[1]:
			default:
			}
		}
	}
	code := make(chan int, 1)
	go func() {
		code <- f.execute("run", write(t, strings.Replace(endless, "stdout: {}", "drop: {}", 1)), "--http", "127.0.0.1:0", "--http-token-file", token,
			"--http-tls-cert", cert, "--http-tls-key", key, "--state-dir", filepath.Join(dir, "state"))
	}()
	var url string
	select {
	case url = <-serving:
	case n := <-code:
		t.Fatalf("exit code %d: %s", n, &f.err)
	case <-time.After(2 * time.Minute):
		t.Fatalf("nothing is served: %s", &f.err)
	}
	defer func() {
		f.signals <- syscall.SIGINT
		if n := <-code; n != exitFine {
			t.Errorf("exit code %d: %s", n, &f.err)
		}
	}()
	if !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Fatalf("served at %s", url)
	}

	type page struct {
		status  int
		version uint16 // of TLS
		number  int64  // of the certificate
		body    string
	}
	ask := func(client *http.Client, path string) page {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer 0123456789abcdef")
		answer, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		defer answer.Body.Close()
		p := page{status: answer.StatusCode, version: answer.TLS.Version, number: answer.TLS.PeerCertificates[0].SerialNumber.Int64()}
		if path == "/v1/events" {
			p.body, err = bufio.NewReader(answer.Body).ReadString('\n')
		} else {
			var all []byte
			all, err = io.ReadAll(answer.Body)
			p.body = string(all)
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for path, has := range map[string]string{
		"/": "<html", "/v1/flows": `"name":"flow"`, "/v1/metrics": `"flows"`, "/metrics": "telluride_flow_ready", "/livez": "", "/v1/events": "",
	} {
		p := ask(a.client(), path)
		if p.status != http.StatusOK || !strings.Contains(p.body, has) {
			t.Errorf("%s answers %d: %.200s", path, p.status, p.body)
		}
		if p.number != 1 || p.version < tls.VersionTLS12 {
			t.Errorf("%s: certificate %d, version %x", path, p.number, p.version)
		}
	}
	if answer, err := http.Get(url + "/livez"); err == nil {
		answer.Body.Close()
		t.Error("who does not know the authority trusts it")
	}
	if answer, err := http.Get("http" + strings.TrimPrefix(url, "https") + "/livez"); err == nil {
		if answer.Body.Close(); answer.StatusCode == http.StatusOK {
			t.Error("it is served without encryption too")
		}
	}

	shown := func() int64 {
		t.Helper()
		return ask(a.client(), "/livez").number
	}
	c, k = a.issue()
	replace(t, cert, c)
	if n := shown(); n != 1 {
		t.Errorf("half way through, certificate %d is shown", n)
	}
	replace(t, key, k)
	if n := shown(); n != 2 {
		t.Errorf("certificate %d is shown, not the new one", n)
	}
	replace(t, cert, []byte("garbage"))
	if n := shown(); n != 2 {
		t.Errorf("certificate %d is shown behind garbage", n)
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	if n := shown(); n != 2 {
		t.Errorf("certificate %d is shown without a file", n)
	}
	c, k = a.issue()
	replace(t, key, k)
	replace(t, cert, c)
	if n := shown(); n != 3 {
		t.Errorf("certificate %d is shown in the end", n)
	}
	said := f.err.String()
	if n := strings.Count(said, "cannot be used"); n != 2 || strings.Count(said, "the certificate was replaced") != 2 {
		t.Errorf("it said\n%s", said)
	}
}

// A folder whose link is swapped, as Kubernetes does it with secrets.
func TestACertificateBehindALinkIsReplaced(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	put := func(version string) {
		t.Helper()
		c, k := a.issue()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(dir, version, "tls.crt"), c)
		replace(t, filepath.Join(dir, version, "tls.key"), k)
		if err := os.Symlink(version, filepath.Join(dir, "data.new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "data.new"), filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	c, err := openCertificate(filepath.Join(dir, "data", "tls.crt"), filepath.Join(dir, "data", "tls.key"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	put("two")
	if n := c.current().Leaf.SerialNumber.Int64(); n != 2 {
		t.Errorf("certificate %d", n)
	}
	if first, again := c.current(), c.current(); first != again {
		t.Error("files that did not change are read again")
	}
}
