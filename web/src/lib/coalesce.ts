/**
 * Runs `work` when asked; while it runs, any number of further asks become one more run. So a burst of events costs at
 * most two reads, and the last one sees everything.
 */
export function coalesce(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  let again = false;
  async function loop(): Promise<void> {
    try {
      do {
        again = false;
        await work();
      } while (again);
    } finally {
      // At once: whoever asks after the last look at `again` must begin anew.
      running = null;
    }
  }
  return () => {
    if (running) again = true;
    else running = loop();
    return running;
  };
}
