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
