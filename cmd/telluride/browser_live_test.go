package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	amqp "github.com/rabbitmq/amqp091-go"
)

// The page shows a letter by itself, whenever it is written. A file takes no
// letters back, and the page says what to do instead.
func (b browser) showsDeadLetters(t *testing.T) {
	dead := filepath.Join(t.TempDir(), "dead.ndjson")
	readings := filepath.Join(t.TempDir(), "readings.ndjson")
	if err := os.WriteFile(readings, []byte("{\"reading\":1}\n{\"reading\":99}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p, _ := b.open(t, fmt.Sprintf(`name: sensors
source: {file: {path: %q, follow: true}}
stages:
  - assert: {that: "reading < 99", reason: "the sensor is broken"}
sink: {drop: {}}
dead_letter: {file: {path: %q}}
`, readings, dead))
	p.at("/flows/sensors/dead")
	p.until(text("#dead tbody") + `.includes('the sensor is broken') && ` + text("#dead tbody") + `.includes('{"reading":99}')`)
	p.click("#dead tbody input")
	// What dies meanwhile appears, and leaves the choice alone.
	appendTo(t, readings, "{\"reading\":100}\n")
	p.until(text("#dead tbody") + `.includes('{"reading":100}') && document.querySelectorAll('#dead tbody input:checked').length === 1`)
	p.click("#replay")
	p.until(text("#dead-result") + `.includes('takes no records from outside')`) // as a queue would
}

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// A reading that was above a limit dies, goes to a queue, and is sent through
// the flow again once the limit has been raised: all of it in the page.
func (b browser) replays(t *testing.T) {
	queue := fmt.Sprintf("telluride-browser-%x", rand.Uint64())
	ch := brokerChannel(t, queue, queue+".dead")
	if _, err := ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.ndjson")
	p, _ := b.open(t, fmt.Sprintf(`name: sensors
params:
  limit: {default: 99, min: 1, max: 1000}
source: {rabbitmq: {url: %q, queue: %s, declare: {durable: true}}}
stages:
  - assert: {that: "reading < params.limit", reason: "the reading is above the limit"}
sink: {file: {path: %q}}
dead_letter: {rabbitmq: {url: %q, queue: %s.dead, declare: {durable: true}}}
`, brokerURL(), queue, out, brokerURL(), queue))
	p.at("/flows/sensors/dead")
	p.until(text("#dead-note") + ` === 'None are kept.'`)
	for _, body := range []string{`{"reading":1}`, `{"reading":100}`, `{"reading":2000}`} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := ch.PublishWithContext(ctx, "", queue, true, false, amqp.Publishing{Body: []byte(body)})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	// An empty list fills by itself; of a queue with letters only a person asks.
	p.until(text("#dead tbody") + `.includes('the reading is above the limit') || !document.querySelector('#dead-new').hidden`)
	p.click("#refresh")
	p.until(`document.querySelectorAll('#dead tbody tr').length === 2 || (document.querySelector('#refresh').click(), false)`)
	p.at("/flows/sensors/params")
	p.fill("#p-limit", "1000")
	p.click("#set")
	p.until(text("#receipt") + `.includes('Applied')`)

	// Both are sent again. One passes now, and the other comes back.
	p.at("/flows/sensors/dead")
	p.until(`document.querySelectorAll('#dead tbody tr').length === 2`)
	p.click("#all")
	p.until(text("#replay") + ` === 'Replay 2'`)
	p.click("#replay")
	p.until(text("#dead-result") + `.startsWith('2 sent again')`)
	p.until(`document.querySelectorAll('#dead tbody tr').length === 1 || (document.querySelector('#refresh').click(), false)`)
	p.until(text("#dead tbody") + `.includes('{"reading":2000}') && ` + text("#dead tbody .n") + ` === '2'`)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		got, err := os.ReadFile(out)
		if err == nil && strings.Contains(string(got), `{"reading":100}`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the letter did not go through the flow: %q, %v", got, err)
		}
	}
}

// brokerChannel is a channel of the shared broker; the queues are deleted when
// the test ends.
func brokerChannel(t *testing.T, queues ...string) *amqp.Channel {
	t.Helper()
	ch, err := dialBroker(t).Channel()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, q := range queues {
			_, _ = ch.QueueDelete(q, false, false, false)
		}
	})
	return ch
}

// A page that stays open says that the process is away, and goes on with the
// next one. The history is that of both, and leads back.
func (b browser) restarts(t *testing.T) {
	file, state := write(t, sensors), filepath.Join(t.TempDir(), "s")
	url, stop := startProcess(t, "127.0.0.1:0", state, file)
	p := b.tab(t, url)
	p.at("/flows/sensors/file")
	p.fill("#source", strings.Replace(sensors, "reading < 99", "reading < 98", 1))
	p.until("!document.querySelector('#apply').disabled")
	p.click("#apply")
	p.until(text("#receipt") + `.includes('Applied')`)
	p.at("/flows/sensors/changes")
	p.until("document.querySelector('#live').dataset.live === 'on' && document.querySelector('#away').hidden")
	p.do(chromedp.Evaluate("window.same = true", nil))
	stop()
	p.until("document.querySelector('#live').dataset.live === 'off' && " + text("#away") + ".includes('does not answer')")

	_, stop = startProcess(t, strings.TrimPrefix(url, "http://"), state, file)
	t.Cleanup(stop)
	p.until("window.same && document.querySelector('#live').dataset.live === 'on' && document.querySelector('#away').hidden")
	p.click("#history summary")
	p.until(text("#history .diff .add") + `.includes('reading < 98')`)
	p.click("#history a")
	p.until(`location.pathname === '/flows/sensors/file' && document.querySelector('#source').value.includes('reading < 99') && !document.querySelector('#apply').disabled`)
	p.click("#apply")
	p.until(text("#receipt") + `.includes('Applied')`)
}

// Whatever can be used can be reached with the keyboard alone, and shows that
// it is at hand.
func (b browser) walks(t *testing.T) {
	p, _ := b.open(t, sensors)
	for _, path := range paths {
		p.at(path)
		p.until("document.querySelector('#live').dataset.live === 'on'")
		p.do(chromedp.Evaluate(`window.met = new Set(); document.activeElement.blur(); addEventListener('focusin', ({target: e}) => {
			const drawn = e.closest('.editor, .node') || getComputedStyle(e).outlineStyle !== 'none';
			if (drawn) met.add(e);
		})`, nil))
		const left = `[...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')].filter((e) => e.checkVisibility() && !e.disabled && !met.has(e))`
		for steps := 0; ; steps++ {
			var names []string
			p.do(chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(left+`.map((e) => e.outerHTML.slice(0, 90))`, &names))
			if len(names) == 0 {
				break
			}
			if steps > 200 {
				t.Fatalf("%s: the keyboard does not reach %q", path, names)
			}
		}
	}
	// To change a param takes no mouse either, and the focus is not lost.
	p.at("/flows/sensors/params")
	p.do(chromedp.Focus("#p-rate_limit_allowed", chromedp.ByQuery), chromedp.KeyEvent(kb.End+"1"+kb.Enter))
	p.until(text("#receipt") + `.includes('Rejected') && document.activeElement.id === 'p-rate_limit_allowed'`)
	p.do(chromedp.KeyEvent(kb.Backspace + kb.Backspace + kb.Enter))
	p.until(text("#receipt") + `.includes('Applied') && document.activeElement !== document.body`)
}

func (b browser) showsValues(t *testing.T) {
	p, _ := b.open(t, strings.Replace(sensors, "mask: [secret]\n", "", 1))
	p.at("/flows/sensors/values")
	p.until("document.querySelectorAll('#values tbody tr').length === 5 && " + text("#values thead") + ".includes('reads')")
	p.until("(window.seen ??= " + text("#values tbody") + ") !== " + text("#values tbody"))
	// A paused flow shows what it holds, and what may be done.
	p.click("#pause")
	p.until(text("#state") + " === 'paused'")
	p.at("/flows/sensors/values")
	p.until("document.querySelectorAll('#values tbody tr').length === 5 && " + text("#values-note") + " === '5 keys' && " + text("#pause") + " === 'Continue'")
}

// Open windows are shown with their bounds, by page, and can be searched.
func (b browser) showsWindows(t *testing.T) {
	p, _ := b.open(t, `name: sensors
source:
  generate: {rows: {index: "index", sensor: "'s' + string(index % 250)", reading: "index % 100"}, every: 1ms}
stages:
  - partition: {by: sensor, lanes: 2}
  - route:
      match: all
      branches:
        - {name: long, when: "true", stages: [{name: hours, window: {tumbling: 1000000h, aggregate: {reads: "count()"}}}]}
        - {name: many, when: "true", stages: [{name: thousands, window: {count: 1000000, aggregate: {total: "sum(reading)"}}}]}
sink: {drop: {}}
`)
	p.at("/flows/sensors/values")
	p.until("document.querySelectorAll('#values tbody tr').length === 100 && " + text("#values thead") + ".includes('from') && " + text("#values thead") + ".includes('reads')")
	p.until(text("#values-note") + " === '250 keys, page 1' && " + text("#values tbody") + ".includes(' 00:00:00Z')")
	p.click("#values-next")
	p.until(text("#values-note") + " === '250 keys, page 2'")
	p.click("#values-next")
	p.until(text("#values-note") + " === '250 keys, page 3' && document.querySelectorAll('#values tbody tr').length === 50 && document.querySelector('#values-next').hidden")
	p.click("#values-back")
	p.until(text("#values-note") + " === '250 keys, page 2'")
	p.fill(`#values-form [name="find"]`, "S24")
	p.until(text("#values-note") + " === '11 of 250 keys' && document.querySelectorAll('#values tbody tr').length === 11")
	p.do(chromedp.Evaluate(`(() => { const e = document.querySelector('#values-form select'); e.value = 'thousands'; e.dispatchEvent(new Event('change')) })()`, nil))
	p.until(text("#values tbody") + ".includes(' of 1,000,000') && " + text("#values thead") + ".includes('total')")
}
