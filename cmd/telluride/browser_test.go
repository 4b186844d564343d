package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take for something: the machines that run
// these tests have two cores, and much to do on them.
const patience = 90 * time.Second

// chromium finds a browser. Without one the tests are skipped, but not in CI.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if at, err := exec.LookPath(name); err == nil {
			return at
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("there is no Chromium: .ci/run installs it")
	}
	t.Skip("no Chromium: the tests of the dashboard are skipped (apt-get install chromium)")
	return ""
}

// browse starts a browser that lives as long as a test.
func browse(t *testing.T) context.Context {
	t.Helper()
	at := chromium(t)
	profile, err := os.MkdirTemp("", "telluride-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) }) // a process of the browser may still write there
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(at), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("no-first-run", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(patience))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // it waits for the browser
		stop()
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// tab is a page of a running process.
type tab struct {
	*testing.T
	ctx context.Context
	url string

	mu    sync.Mutex
	wrong []string // errors on the console, and requests to anybody else
}

// open starts a process with a flow file, and opens a tab for it.
func (b browser) open(t *testing.T, flow string, args ...string) (*tab, string) {
	t.Helper()
	file := write(t, flow)
	return b.tab(t, startRun(t, append([]string{file}, args...)...)), file
}

// tab opens a tab for a process.
func (b browser) tab(t *testing.T, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.Context)
	t.Cleanup(cancel)
	// The first Run makes the tab, which lives as long as its context.
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return &tab{T: t, ctx: ctx, url: url}
}

// browser is one that runs.
type browser struct{ context.Context }

// TestDashboard is what people do with the pages, in a real browser.
func TestDashboard(t *testing.T) {
	b := browser{browse(t)}
	for _, c := range []struct {
		name string
		test func(browser, *testing.T)
	}{
		{"pages load without errors or foreign requests", browser.loadsCleanly},
		{"rates move while a flow runs", browser.ratesMove},
		{"a param is set in the form", browser.setsAParam},
		{"the editor shows what is wrong and what would happen", browser.edits},
		{"an edit of the file appears by itself", browser.showsAnEdit},
		{"passing records are shown, masked, and can be paused", browser.taps},
		{"dead letters appear by themselves, and a replay says why it is not possible", browser.showsDeadLetters},
		{"a dead letter is replayed from a queue through the changed flow", browser.replays},
		{"values by key are shown", browser.showsValues},
		{"open windows are shown by key, page by page", browser.showsWindows},
		{"a flow is paused and continued", browser.pauses},
		{"a page lives through a restart, and goes back to an earlier version", browser.restarts},
		{"the keyboard reaches everything", browser.walks},
		{"a browser needs the token", browser.needsTheToken},
		{"a page that is not ours is refused", browser.refusesOthers},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(b, t) })
	}
}

// startRun runs flows until the test ends, and returns where the dashboard is.
func startRun(t *testing.T, args ...string) string {
	t.Helper()
	url, stop := startProcess(t, "127.0.0.1:0", filepath.Join(t.TempDir(), "s"), args...)
	t.Cleanup(stop)
	return url
}

// startProcess runs flows until stop is called.
func startProcess(t *testing.T, at, state string, args ...string) (url string, stop func()) {
	t.Helper()
	f := newFake()
	served := make(chan string, 1)
	serving := regexp.MustCompile(`msg=serving url=(\S+)/`)
	var once sync.Once
	f.err.wrote = func(all string) {
		if m := serving.FindStringSubmatch(all); m != nil {
			once.Do(func() { served <- m[1] })
		}
	}
	done := make(chan int, 1)
	go func() {
		done <- f.execute(append([]string{"run", "--http", at, "--state-dir", state}, args...)...)
	}()
	stop = func() {
		f.signals <- syscall.SIGINT
		if code := <-done; code != exitFine {
			t.Errorf("exit code %d: %s", code, f.err.String())
		}
	}
	select {
	case url = <-served:
	case code := <-done:
		t.Fatalf("the run ended with %d: %s", code, f.err.String())
	case <-time.After(patience):
		stop()
		t.Fatalf("nothing is served: %s", f.err.String())
	}
	return url, stop
}

// watch notes what a page must not do: errors on its console, and requests to
// anybody else.
func (p *tab) watch() {
	chromedp.ListenTarget(p.ctx, func(event any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			p.wrong = append(p.wrong, e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
				p.wrong = append(p.wrong, fmt.Sprintf("console: %s", e.Args[0].Value))
			}
		case *network.EventRequestWillBeSent:
			if u := e.Request.URL; !strings.HasPrefix(u, p.url) && !strings.HasPrefix(u, "data:") {
				p.wrong = append(p.wrong, "asks "+u)
			}
		case *network.EventResponseReceived:
			// Values cannot be looked at while a busy machine makes no progress.
			if busy := e.Response.Status == 409 && strings.Contains(e.Response.URL, "/values/"); e.Response.Status >= 400 && !busy {
				p.wrong = append(p.wrong, fmt.Sprintf("%s answered %d", e.Response.URL, e.Response.Status))
			}
		}
	})
	p.do(network.Enable(), runtime.Enable())
}

func (p *tab) do(actions ...chromedp.Action) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// at goes to a path, and waits until the page has started.
func (p *tab) at(path string) {
	p.Helper()
	p.do(chromedp.Navigate(p.url + path))
	p.until("'started' in document.body.dataset")
}

// click waits until an element can be clicked, and clicks it in the same
// moment: between the two it can neither move nor be disabled.
func (p *tab) click(selector string) {
	p.Helper()
	p.until(fmt.Sprintf("((e) => e.checkVisibility() && !e.disabled && (e.click(), true))(document.querySelector(%q))", selector))
}

// until waits until an expression is true in the page. One that throws, such
// as while the page goes to another one, is not.
func (p *tab) until(expression string) {
	p.Helper()
	var yes bool
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	poll := chromedp.Poll("(() => { try { return !!("+expression+") } catch { return false } })()", &yes,
		chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(0))
	err := chromedp.Run(ctx, poll)
	for err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "-32000") {
		err = chromedp.Run(ctx, poll) // the page went to another one meanwhile
	}
	if err != nil {
		var shown string
		_ = chromedp.Run(p.ctx, chromedp.Evaluate("document.body.innerText", &shown))
		p.Fatalf("%s did not come true (%v) in the page:\n%s\n%v", expression, err, shown, p.wrong)
	}
}

func text(selector string) string {
	return fmt.Sprintf("(document.querySelector(%q)?.textContent ?? '')", selector)
}

// fill replaces what a field holds, as a person who types does.
func (p *tab) fill(selector, value string) {
	p.Helper()
	p.do(chromedp.Evaluate(fmt.Sprintf(
		"(() => { const e = document.querySelector(%q); e.focus(); e.value = %q; e.dispatchEvent(new Event('input', {bubbles: true})) })()", selector, value), nil))
}

func (p *tab) clean() {
	p.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.wrong {
		p.Error(w)
	}
}

const sensors = `name: sensors
params:
  rate_limit_allowed: {default: 500, min: 1, max: 5000, description: Readings per second.}
  lanes: {default: 2, min: 1, max: 8}
source:
  generate: {rows: {index: "index", sensor: "'s' + string(index % 5)", reading: "index % 100", secret: "'hidden-' + string(index)"}, every: 1ms}
  rate_limit: {records: "${params.rate_limit_allowed}"}
mask: [secret]
stages:
  - partition: {by: sensor, lanes: "${params.lanes}"}
  - process:
      - assert: {that: "reading < 99", reason: "the sensor is broken"}
      - set: {celsius: "(reading - 32) / 1.8"}
  - name: totals
    window: {global: true, emit: {every: 1s}, aggregate: {reads: "count()", mean: "mean(celsius)"}}
sink: {drop: {}}
dead_letter: {drop: {}}
`

var paths = []string{"/", "/flows/sensors", "/flows/sensors/params", "/flows/sensors/file", "/flows/sensors/changes", "/flows/sensors/dead", "/flows/sensors/tap", "/flows/sensors/values"}

func (b browser) loadsCleanly(t *testing.T) {
	p, _ := b.open(t, sensors)
	p.watch()
	for _, path := range paths {
		p.at(path)
		p.until("document.querySelector('#live').dataset.live === 'on'")
		// Nothing is wider than a phone.
		p.do(chromedp.EmulateViewport(360, 740))
		p.until("document.documentElement.scrollWidth <= 360")
		p.do(chromedp.EmulateViewport(1280, 800))
	}
	p.clean()
}

func (b browser) ratesMove(t *testing.T) {
	p, _ := b.open(t, sensors)
	p.at("/")
	p.until(`/^[1-9]/.test(document.querySelector('[data-f="in_rate"]').textContent)`)
	p.at("/flows/sensors")
	p.until(`/^[1-9]/.test(` + text(`[data-n="in_rate"]`) + `)`)
	p.until(`(window.seen ??= ` + text(`[data-n="in"]`) + `) !== ` + text(`[data-n="in"]`))
	p.until(`[...document.querySelectorAll('.graph.wide .node [data-f="rate"]')].every((e) => e.textContent.endsWith('/s'))`)
	p.until(`document.querySelector('.graph.wide .p-idle') && document.querySelector('#throughput .line').getAttribute('d').includes('L')`)
	p.until(text(`#stages tbody`) + `.includes('totals')`)
	p.until(`[...document.querySelectorAll('#stages tbody .kept')].some((e) => e.textContent === '5' && e.offsetParent)`) // keys
}

func (b browser) setsAParam(t *testing.T) {
	p, _ := b.open(t, sensors)
	p.at("/flows/sensors/params")
	p.fill("#p-rate_limit_allowed", "9000")
	p.until(text("#e-rate_limit_allowed") + `.includes('9000 is above the maximum 5000')`)
	p.click("#set")
	p.until(text("#receipt") + `.includes('Rejected')`)
	p.fill("#p-rate_limit_allowed", "40")
	p.until("document.querySelector('#e-rate_limit_allowed').hidden && !document.querySelector('#set').disabled")
	p.click("#set")
	p.until(text("#receipt") + `.includes('Applied') && ` + text("#receipt") + `.includes('nothing was read for') && ` + text("#receipt") + `.includes('totals')`)
	p.until(text("#h-rate_limit_allowed .from") + ` === 'api'`)
	p.at("/flows/sensors")
	p.until(`parseFloat(` + text(`[data-n="in_rate"]`) + `) > 0 && parseFloat(` + text(`[data-n="in_rate"]`) + `) < 100`)
	p.at("/flows/sensors/params")
	p.click(`[data-unset="rate_limit_allowed"]`)
	p.until(text("#h-rate_limit_allowed .from") + ` === 'default'`)
}

func (b browser) edits(t *testing.T) {
	p, _ := b.open(t, sensors)
	p.at("/flows/sensors/file")
	p.fill("#source", strings.Replace(sensors, "reading < 99", "reading <", 1))
	p.until(text("#problems") + `.includes('assert') && /^12:/.test(` + text("#problems button") + `) && document.querySelector('#apply').disabled`)
	p.until(`document.querySelector('.squiggle') && ` + text(".gutter .bad") + ` === '12'`)
	p.fill("#source", strings.Replace(sensors, "reading < 99", "reading < 98", 1))
	p.until(text("#plan") + `.includes('kept') && ` + text("#diff .add") + `.includes('reading < 98') && ` + text("#diff .del") + `.includes('reading < 99')`)
	p.click("#revert")
	p.until("document.querySelector('#source').value.includes('reading < 99') && document.querySelector('#apply').disabled && document.querySelector('#revert').disabled")
	p.fill("#source", strings.Replace(sensors, "reading < 99", "reading < 98", 1))
	p.until("!document.querySelector('#apply').disabled")
	p.click("#apply")
	p.until(text("#receipt") + `.includes('Applied') && ` + text("#origin") + `.includes('not what the file')`)
	p.at("/flows/sensors/changes")
	p.click("#history summary")
	p.until(text("#history .diff .add") + `.includes('reading < 98')`)
}

func (b browser) showsAnEdit(t *testing.T) {
	p, file := b.open(t, sensors)
	p.at("/flows/sensors/changes")
	p.until(text("#history") + `.includes('No change yet')`)
	if err := os.WriteFile(file, []byte(strings.Replace(sensors, "lanes: {default: 2", "lanes: {default: 3", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	p.until(text("#history") + `.includes('Applied') && ` + text("#history") + `.includes('from file')`)
}

func (b browser) taps(t *testing.T) {
	p, _ := b.open(t, sensors)
	p.at("/flows/sensors/tap?stage=set")
	p.until("document.querySelectorAll('#records tbody tr').length > 3")
	p.until(text("#records tbody") + `.includes('"celsius"') && ` + text("#records tbody") + `.includes('"***"') && !` + text("#records tbody") + `.includes('hidden-')`)
	p.click("#go")
	p.until(text("#go") + ` === 'Start'`)
	p.click("#clear")
	p.fill(`#tap [name="where"]`, "reading > 95 &&")
	p.click("#go")
	p.until(`!document.querySelector('#tap-problem').hidden && ` + text("#tap-problem") + `.includes('where')`)
	p.fill(`#tap [name="where"]`, "reading > 95")
	p.click("#go")
	p.until(`document.querySelectorAll('#records tbody tr').length > 1 && [...document.querySelectorAll('#records tbody tr')].every((r) => JSON.parse(r.lastChild.textContent).reading > 95)`)
}

func (b browser) pauses(t *testing.T) {
	p, _ := b.open(t, sensors)
	p.at("/flows/sensors")
	p.until(text("#state") + " === 'running'")
	p.click("#pause")
	p.until(text("#state") + " === 'paused' && " + text("#pause") + " === 'Continue'")
	p.until(text(`[data-n="in_rate"]`) + " === '0'")
	p.click("#pause")
	p.until(text("#state") + " === 'running' && " + text(`[data-n="in_rate"]`) + " !== '0'")
}

func (b browser) needsTheToken(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _ := b.open(t, sensors, "--http-token-file", token)
	p.do(chromedp.Navigate(p.url + "/flows/sensors/params"))
	p.until("location.pathname === '/login'")
	p.do(chromedp.SendKeys("[name=token]", "wrong-wrong-wrong-wrong\r", chromedp.ByQuery))
	p.until("document.body.innerText.includes('the token is wrong')")
	p.do(chromedp.SendKeys("[name=token]", "0123456789abcdef\r", chromedp.ByQuery))
	p.until("location.pathname === '/flows/sensors/params' && 'started' in document.body.dataset")
}

// refusesOthers: a page of another origin can neither read nor change anything.
func (b browser) refusesOthers(t *testing.T) {
	p, _ := b.open(t, sensors)
	other := startRun(t, write(t, strings.Replace(sensors, "name: sensors", "name: other", 1)))
	p.do(chromedp.Navigate(other + "/"))
	try := func(options string) {
		p.do(chromedp.Evaluate(fmt.Sprintf("window.done = null; fetch(%q, %s).then((r) => window.done = r.type + ' ' + r.status, () => window.done = 'refused')", p.url+"/v1/flows", options), nil))
		p.until("window.done === 'refused' || window.done === 'opaque 0'")
	}
	try("{}")
	try("{mode: 'no-cors'}")
	try("{method: 'POST', mode: 'no-cors', body: '{}'}")
	p.do(chromedp.Evaluate(fmt.Sprintf("window.done = null; fetch(%q, {method: 'POST', mode: 'no-cors'}).finally(() => window.done = 'done')", p.url+"/v1/flows/sensors/drain"), nil))
	p.until("window.done === 'done'")
	p.at("/flows/sensors")
	p.until(text("#state") + " === 'running'")
}
