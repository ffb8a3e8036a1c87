import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { takeToken } from './lib/token';

const root = document.getElementById('app');
if (!root) throw new Error('index.html has no #app');

// A new link pasted into this tab only changes the fragment; start over with its token.
addEventListener('hashchange', () => {
  if (location.hash.startsWith('#token=')) location.reload();
});

mount(App, { target: root, props: { token: takeToken(location, history, sessionStorage) } });
