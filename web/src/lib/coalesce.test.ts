import { expect, it } from 'vitest';
import { coalesce } from './coalesce';

it('a burst of asks costs two runs, and the last one comes after the last ask', async () => {
  let asks = 0;
  const seen: number[] = [];
  const run = coalesce(async () => {
    const now = asks;
    await Promise.resolve();
    seen.push(now);
  });
  const all = [1, 2, 3, 4].map(() => {
    asks += 1;
    return run();
  });
  await Promise.all(all);
  expect(seen).toEqual([1, 4]);
  await run();
  expect(seen).toEqual([1, 4, 4]);
});

it('a run that fails does not stop later ones', async () => {
  let runs = 0;
  const run = coalesce(async () => {
    runs += 1;
    if (runs === 1) throw new Error('away');
  });
  await expect(run()).rejects.toThrow('away');
  await run();
  expect(runs).toBe(2);
});

it('an ask is not lost in the moment in which a run ends', async () => {
  // At any of the turns of the queue of promises around the end of the run.
  for (let turns = 0; turns < 12; turns += 1) {
    let asks = 1;
    let seen = 0;
    const run = coalesce(async () => {
      const now = asks;
      await Promise.resolve();
      seen = now;
    });
    void run();
    for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
    asks = 2;
    void run();
    for (let turn = 0; turn < 30; turn += 1) await Promise.resolve();
    expect(seen, `after ${turns} turns`).toBe(2);
  }
});
