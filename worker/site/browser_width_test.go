//go:build browser

package site

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/queue"
	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/result"
)

// What archives really have: names of binary packages of the kernel, versions of snapshots and of backports of them.
const (
	longPackage = "linux-restricted-modules-nvidia-550-server-open"
	longVersion = "1:2026.11.21+git20261121.4f1d2c3b5a6e7890+really6.11.0-1018.19~24.04.1+ppa3~bpo12+1"
)

// long fills a fixture with runs whose every word is as long as an archive can make it.
func (f *fixture) long(t *testing.T) (newest result.Location) {
	t.Helper()
	var triggers []string
	for _, name := range []string{"", "-signed", "-meta", "-hwe"} {
		triggers = append(triggers, longPackage+name+"/"+longVersion)
	}
	for i, exit := range []int{4, 0, 16, 2, 8, 20} {
		for j, release := range []string{"bookworm", "trixie"} {
			for k, arch := range []string{"amd64", "arm64"} {
				loc := at(release, arch, longPackage, time.Duration(i*40+j*7+k*3+2)*time.Minute)
				f.run(t, loc, result.Result{ExitCode: exit, Version: longVersion, Triggers: triggers[:1+(i+j)%4],
					Requester: strings.Repeat("somebody-with-a-long-name-", 3), Duration: 5*time.Hour + 59*time.Minute,
					Summary:         []byte(strings.Repeat("upstream-tests-of-a-", 4) + "part FAIL " + strings.Repeat("stderr:/usr/share/", 9) + "\n"),
					TestInfo:        []byte(demoInfo),
					TestbedPackages: []byte(longPackage + "\t" + longVersion + "\n"),
					Request:         []byte(longPackage + "\n{\"triggers\": [\"" + triggers[0] + "\"]}"),
				}, realLog)
				if i == 0 && j == 0 && k == 0 {
					newest = loc
				}
			}
		}
	}
	params, err := json.Marshal(map[string]any{"triggers": triggers, "requester": strings.Repeat("somebody-", 8)})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []queue.Status{
		progress("trixie", "amd64", longPackage, string(params), 5*3600, strings.Repeat(longVersion, 5)),
		progress("bookworm", "arm64", longPackage, string(params), 9, realLog),
	} {
		if err := f.running.Update(p); err != nil {
			t.Fatal(err)
		}
	}
	return newest
}

// width is how the browser fitted a page into a window.
type width struct {
	Page    int      // pixels by which the page is wider than the window
	Scrolls []string // parts that scroll sideways
	Spills  []string // parts out of which their content runs, into the neighbour
	Untold  []string // parts that are cut, and that have no title to say what was cut
}

// A part that hides what is too wide is found by its own width too; a line of text that is cut by design is the only one that
// may do so.
const measureWidth = `(() => {
	const root = document.documentElement;
	const found = {Page: root.scrollWidth - root.clientWidth, Scrolls: [], Spills: [], Untold: []};
	for (const e of document.querySelectorAll("body *")) {
		if (e.scrollWidth <= e.clientWidth || e.clientWidth == 0 || e.matches(".hidden, .skip, input")) continue;
		const style = getComputedStyle(e), name = e.tagName.toLowerCase() + "." + e.className + ": " + e.textContent.trim().slice(0, 40);
		if (style.overflowX == "auto" || style.overflowX == "scroll") found.Scrolls.push(name);
		else if (style.overflowX == "visible") { if (style.display != "inline") found.Spills.push(name); }
		else if (style.textOverflow == "ellipsis" && !e.closest("[title]")) found.Untold.push(name);
	}
	return found;
})()`

func TestLongWordsFit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "http://results.test")
	f.demo(t)
	newest := f.long(t)
	tab := browser(t)
	pages := []struct{ name, path string }{
		{"start", "/"},
		{"packages", "/packages"},
		{"package", "/packages/l/" + longPackage},
		{"history", "/packages/l/" + longPackage + "/bookworm/amd64"},
		{"run", f.runLink(newest)},
		{"log", f.runLink(newest) + "/log"},
		{"running", "/running"},
	}
	for _, window := range []shape{{"light", 1280, 900}, {"light", 1200, 900}, {"light", 1000, 900}, {"light", 400, 844}} {
		window.set(t, tab)
		for _, page := range pages {
			name := fmt.Sprintf("%s-long-%d", page.name, window.width)
			if err := chromedp.Do(tab, chromedp.Navigate(f.server.URL+page.path)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := chromedp.Run(tab, chromedp.Evaluate[width](measureWidth))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got.Page > 0 || len(got.Scrolls)+len(got.Spills)+len(got.Untold) > 0 {
				t.Errorf("%s: %+v", name, got)
			}
			if *screenshots != "" {
				leavePicture(t, tab, name+".png")
			}
		}
	}
}
