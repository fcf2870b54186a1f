//go:build browser

package site

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "folder in which to leave pictures of all pages")

// browser starts Chromium and returns a context for one tab.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("/usr/bin/chromium"), // a missing one fails the test
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
	)
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	tab, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(closeTab)
	tab, cancel := context.WithTimeout(tab, 3*time.Minute)
	t.Cleanup(cancel)
	return tab
}

// layout is what the browser made of a page.
type layout struct {
	Overflow int    // pixels by which the page is wider than the window
	Styled   bool   // the style sheet was accepted
	Title    string // of the document
	Inline   int    // scripts and inline styles
}

const measure = `({
	Overflow: document.documentElement.scrollWidth - window.innerWidth,
	Styled: getComputedStyle(document.querySelector("header.bar")).borderBottomStyle == "solid",
	Title: document.title,
	Inline: document.querySelectorAll("script, style, [style], [onclick]").length,
})`

func TestPagesInABrowser(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "http://results.test")
	f.demo(t)
	tab := browser(t)
	var complaints complaintList
	if err := chromedp.Listen(tab, complaints.listen); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(tab, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	failed := at("trixie", "amd64", "systemd", 5*time.Minute)
	fresh := newFixture(t, "http://results.test")
	fresh.broker, fresh.depths.err, fresh.listing.Passes = ErrNoBroker, ErrNoBroker, 0
	pages := []struct{ name, path string }{
		{"start", "/"},
		{"fresh", "/"},
		{"packages", "/packages"},
		{"search-nothing", "/packages?q=nosuchthing"},
		{"package", "/packages/s/systemd"},
		{"package-empty", "/packages/b/bash"},
		{"history", "/packages/s/systemd/trixie/amd64"},
		{"run", f.runLink(failed)},
		{"log", f.runLink(failed) + "/log#L34"},
		{"log-top", f.runLink(failed) + "/log"},
		{"running", "/running"},
		{"queues", "/running#queues"},
		{"error", "/packages/g/gzip/jammy/amd64"},
	}
	for _, shape := range []shape{{"light", 1440, 900}, {"dark", 1440, 900}, {"narrow", 390, 844}} {
		shape.set(t, tab)
		for _, page := range pages {
			server := f.server
			if page.name == "fresh" {
				server = fresh.server
			}
			if err := chromedp.Do(tab, chromedp.Navigate(server.URL+page.path)); err != nil {
				t.Fatalf("%s, %s: %v", page.name, shape.name, err)
			}
			got, err := chromedp.Run(tab, chromedp.Evaluate[layout](measure))
			if err != nil {
				t.Fatalf("%s, %s: %v", page.name, shape.name, err)
			}
			if got.Overflow > 0 || !got.Styled || got.Title == "" || got.Inline > 0 {
				t.Errorf("%s, %s: %+v", page.name, shape.name, got)
			}
			if *screenshots != "" {
				leavePicture(t, tab, page.name+"-"+shape.name+".png")
			}
		}
	}
	for _, complaint := range complaints.all() {
		t.Errorf("the browser complains: %s", complaint)
	}
}

// shape is a window.
type shape struct {
	name          string // light or dark, or narrow
	width, height int64
}

func (s shape) set(t *testing.T, tab context.Context) {
	t.Helper()
	scheme := "light"
	if s.name == "dark" {
		scheme = "dark"
	}
	_, err := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	if err != nil {
		t.Fatal(err)
	}
	viewport := chromedp.EmulateViewport(s.width, s.height)
	if s.name == "narrow" {
		viewport = chromedp.EmulateViewport(s.width, s.height, chromedp.EmulateMobile)
	}
	if err := chromedp.Do(tab, viewport); err != nil {
		t.Fatal(err)
	}
}

func leavePicture(t *testing.T, tab context.Context, name string) {
	t.Helper()
	picture, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

// complaintList is what the browser found wrong, among it what the security policy forbade.
type complaintList struct {
	mu   sync.Mutex
	list []string
}

func (c *complaintList) listen(event any) {
	if e, ok := event.(*log.EventEntryAdded); ok && e.Entry.Level == log.EntryLevelError {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.list = append(c.list, e.Entry.Text+" "+e.Entry.URL)
	}
}

func (c *complaintList) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.list), func(text string) bool {
		return strings.Contains(text, "status of 404") // the error page's own
	})
}
