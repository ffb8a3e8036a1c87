// What jsdom lacks and the page uses, and a fresh tab for each test.
import { configure } from '@testing-library/svelte';
import { beforeEach } from 'vitest';

// What comes early is not waited for: only a failing test waits so long.
configure({ asyncUtilTimeout: 60_000 });

beforeEach(() => sessionStorage.clear());

HTMLDialogElement.prototype.showModal = function () {
  this.open = true;
  this.querySelector<HTMLElement>('[autofocus]')?.focus();
};
HTMLDialogElement.prototype.close = function () {
  this.open = false;
  this.dispatchEvent(new Event('close'));
};

window.matchMedia = (media) =>
  ({ matches: false, media, addEventListener() {}, removeEventListener() {} }) as unknown as MediaQueryList;

window.ResizeObserver = class {
  observe() {}
  unobserve() {}
  disconnect() {}
};

URL.createObjectURL = () => 'blob:picture';
URL.revokeObjectURL = () => {};
