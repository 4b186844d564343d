package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestScreenshots writes pictures of every page to the folder that
// TELLURIDE_SHOTS names, for people to look at.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv("TELLURIDE_SHOTS")
	if folder == "" {
		t.Skip("TELLURIDE_SHOTS names no folder")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	p, _ := browser{browse(t)}.open(t, sensors)
	if url := os.Getenv("TELLURIDE_SHOTS_OF"); url != "" {
		p.url = url // another process, and its flow
	}
	flow := "sensors"
	if name := os.Getenv("TELLURIDE_SHOTS_FLOW"); name != "" {
		flow = name
	}
	for _, scheme := range []string{"light", "dark"} {
		for name, width := range map[string]int64{"desktop": 1280, "phone": 390} {
			p.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}), chromedp.EmulateViewport(width, 820))
			for _, path := range paths {
				p.at(strings.Replace(path, "sensors", flow, 1))
				p.until("document.querySelector('#live').dataset.live === 'on'")
				if strings.HasSuffix(path, "tap") {
					p.click("#go")
					p.until("document.querySelectorAll('#records tbody tr').length > 8")
				}
				if strings.HasSuffix(path, "file") {
					p.do(chromedp.Evaluate(`(() => { const e = document.querySelector('#source'); e.value = e.value.replace('stages:', 'stagse:').replace('lanes: {default', 'lanes: {defautl'); e.dispatchEvent(new Event('input')) })()`, nil))
					p.until("document.querySelectorAll('#problems li').length > 1")
				}
				if path == "/" || path == "/flows/sensors" {
					p.until("document.querySelector('#cores').children.length > 0")
				}
				var png []byte
				p.do(chromedp.FullScreenshot(&png, 100))
				if strings.HasSuffix(path, "file") { // a page with edits asks before it is left
					p.do(chromedp.Evaluate(`(() => { const e = document.querySelector('#source'); e.value = e.defaultValue; e.dispatchEvent(new Event('input')) })()`, nil))
				}
				file := strings.Trim(strings.ReplaceAll(path, "/", "-"), "-")
				if file == "" {
					file = "flows"
				}
				if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s-%s-%s.png", file, name, scheme)), png, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
