package e2e

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// apiProxy stands between a controller and the API server and spoils what passes. The
// test itself speaks to the API server directly.
type apiProxy struct {
	kubeconfig string // the controller's, with the proxy as its API server
	server     *httptest.Server
	forward    *httputil.ReverseProxy

	mu     sync.Mutex
	random *rand.Rand
	rate   float64         // of requests that a fault befalls
	writes map[string]bool // kinds of writes of which one has lost its answer
	met    map[string]int  // how many, by the names of faults
	drawn  int
	shut   chan struct{}  // while nothing passes; closed when it does again
	silent bool           // what does not pass waits, instead of being cut off
	turned int            // requests, and parts of answers, that did not pass
	passed map[string]int // requests, by their kinds
	held   *heldAnswer    // nil: none is waited for
}

// quiet drops what would be told of each answer that is cut off.
var quiet = log.New(io.Discard, "", 0)

// newAPIProxy lets everything pass. Make it before the scene whose controller uses it, so
// that it ends later.
func newAPIProxy(t *testing.T) *apiProxy {
	t.Helper()
	config, err := clientcmd.LoadFromFile(suite.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cluster := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
	transport, err := rest.TransportFor(&rest.Config{
		Host: cluster.Server, TLSClientConfig: rest.TLSClientConfig{CAData: cluster.CertificateAuthorityData},
	})
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(cluster.Server)
	if err != nil {
		t.Fatal(err)
	}
	p := &apiProxy{random: rand.New(rand.NewSource(1)), writes: map[string]bool{}, met: map[string]int{}, passed: map[string]int{}}
	p.forward = &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:      transport,
		FlushInterval:  -1, // watches are streams
		ModifyResponse: p.answer,
		ErrorHandler:   answerSpoilt,
		ErrorLog:       quiet,
	}
	p.server = httptest.NewUnstartedServer(p)
	p.server.EnableHTTP2 = true
	p.server.Config.ErrorLog = quiet
	p.server.StartTLS()
	t.Cleanup(func() {
		p.open()
		p.server.CloseClientConnections()
		p.server.Close()
	})
	p.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	behind := *cluster
	behind.Server = p.server.URL
	behind.CertificateAuthorityData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	config.Clusters = map[string]*clientcmdapi.Cluster{config.Contexts[config.CurrentContext].Cluster: &behind}
	if err := clientcmd.WriteToFile(*config, p.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return p
}

// ServeHTTP implements [http.Handler].
func (p *apiProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.waitOpen(r.Context()) != nil {
		cutOff()
	}
	p.mu.Lock()
	p.passed[kindOf(r)]++
	p.mu.Unlock()
	r, done := p.befall(w, r)
	defer done()
	if r != nil {
		p.forward.ServeHTTP(gated{w, r.Context(), p}, r)
	}
}

// cutOff ends a request without an answer.
func cutOff() { panic(http.ErrAbortHandler) }

// gated is an answer that is held up while nothing passes.
type gated struct {
	http.ResponseWriter
	ctx   context.Context
	proxy *apiProxy
}

// Write implements [io.Writer].
func (g gated) Write(part []byte) (int, error) {
	if err := g.proxy.waitOpen(g.ctx); err != nil {
		return 0, err
	}
	return g.ResponseWriter.Write(part)
}

// Unwrap is for [http.ResponseController], which flushes.
func (g gated) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// waitOpen returns when requests pass, or an error if this one is not to.
func (p *apiProxy) waitOpen(ctx context.Context) error {
	p.mu.Lock()
	shut, silent := p.shut, p.silent
	if shut != nil {
		p.turned++
	}
	p.mu.Unlock()
	switch {
	case shut == nil:
		return nil
	case !silent:
		return http.ErrAbortHandler
	}
	select {
	case <-shut:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close lets nothing pass any more. If it is silent, requests and watches wait as they
// would for an API server that stands still, and go on afterwards.
func (p *apiProxy) close(silent bool) {
	p.mu.Lock()
	p.shut, p.silent = make(chan struct{}), silent
	p.mu.Unlock()
	if !silent {
		p.cutAll()
	}
}

func (p *apiProxy) turnedAway() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turned
}

// open lets everything pass again.
func (p *apiProxy) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut != nil {
		close(p.shut)
		p.shut = nil
	}
}

// heldAnswer is the first answer to a kind of request, which waits.
type heldAnswer struct {
	kind, name string // of the object
	once       sync.Once
	arrived    chan struct{}
	released   chan struct{}
}

// holdAnswer has the next answer about an object wait. It has arrived when the API server
// has given it, and passes when it is released.
func (p *apiProxy) holdAnswer(kind, name string) *heldAnswer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = &heldAnswer{kind: kind, name: name, arrived: make(chan struct{}), released: make(chan struct{})}
	return p.held
}

func (p *apiProxy) answer(response *http.Response) error {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held != nil && kindOf(response.Request) == held.kind && path.Base(response.Request.URL.Path) == held.name {
		held.once.Do(func() {
			close(held.arrived)
			<-held.released
		})
	}
	return spoilAnswer(response)
}

// cutAll ends all connections, with the watches and other requests on them.
func (p *apiProxy) cutAll() { p.server.CloseClientConnections() }
