import { svelte } from '@sveltejs/vite-plugin-svelte';
import { svelteTesting } from '@testing-library/svelte/vite';
import { loadEnv } from 'vite';
import { defineConfig } from 'vitest/config';

// `SAMIZDAT_API=http://127.0.0.1:PORT npm run dev` works on the page against a running node.
const api = loadEnv('', '.', 'SAMIZDAT_')['SAMIZDAT_API'];

export default defineConfig({
  plugins: [svelte(), svelteTesting()],
  // The page must run under `default-src 'self'`: no inlined assets, no inline scripts.
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: false },
  server: api ? { proxy: { '/api': { target: api, ws: true, changeOrigin: true, headers: { origin: api } } } } : {},
  test: { environment: 'jsdom', testTimeout: 120_000, include: ['src/**/*.test.ts'], setupFiles: ['src/testing/setup.ts'] },
});
