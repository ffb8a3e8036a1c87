/**
 * Runs `work` when asked; while it runs, any number of further asks become one more run. So a burst of events costs at
 * most two reads, and the last one sees everything.
 */
export function coalesce(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  let again = false;
  async function loop(): Promise<void> {
    do {
      again = false;
      await work();
    } while (again);
  }
  return () => {
    if (running) again = true;
    else running = loop().finally(() => (running = null));
    return running;
  };
}
