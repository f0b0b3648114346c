package localcluster

import (
	"context"
	"fmt"
	"time"
)

// pollInterval is how often a daemon is asked that cannot tell by itself that it
// serves.
const pollInterval = 100 * time.Millisecond

// waitUntil asks until there is no error. It fails when ctx ends, and says what
// was still missing.
func waitUntil(ctx context.Context, what string, ask func(context.Context) error) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last: %w)", what, context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}
