package image

import (
	"errors"
	"os"
	"strings"

	"github.com/autopkgtest-cloud/autopkgtest-cloud/worker/testbed"
)

// candidatePath is where an image may be put that was built elsewhere, with its description beside it:
// RELEASE-ARCH.candidate.tar.zst and RELEASE-ARCH.candidate.json. It is taken instead of a build when one is due, if it
// was built after the same recipe, is young enough and is what its description says. Its canary is run all the same.
// Taken or not, it is gone afterwards.
func (k *keeper) candidatePath() string {
	return strings.TrimSuffix(k.image, testbed.ImageSuffix) + ".candidate" + testbed.ImageSuffix
}

func (k *keeper) candidate() (path string, info testbed.ImageInfo, found bool) {
	path = k.candidatePath()
	if _, err := os.Stat(path); err != nil {
		return "", testbed.ImageInfo{}, false
	}
	info, err := testbed.ReadImageInfo(path)
	if err == nil {
		err = k.acceptable(path, info)
	}
	if err != nil {
		k.log.Warn("the candidate image is not taken: one is built", "candidate", path, "error", err)
		k.dropCandidate()
		return "", testbed.ImageInfo{}, false
	}
	k.log.Info("taking the candidate image", "candidate", path, "built", info.Built)
	return path, info, true
}

func (k *keeper) acceptable(path string, info testbed.ImageInfo) error {
	if info.Recipe != k.recipe.hash() {
		return errors.New("it was built after another recipe")
	}
	info.Canary = testbed.CanaryPassed // of no matter yet
	if k.freshFor(path, info) <= 0 {
		return errors.New("it is too old")
	}
	sum, _, err := fileSum(path)
	if err == nil && sum != info.SHA256 {
		err = errors.New("it is not the file that its description is of")
	}
	return err
}

// dropCandidate removes a candidate that is of no more use. What cannot be removed is refused again next time.
func (k *keeper) dropCandidate() {
	_ = os.Remove(k.candidatePath())
	_ = os.Remove(testbed.InfoPath(k.candidatePath()))
}
