// What every page needs: elements made from text only, numbers for people,
// and requests.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Makes an element. Text is set as text, never as markup. */
export function h(tag, attrs = {}, ...children) {
  const el = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (k.startsWith('on')) el.addEventListener(k.slice(2), v);
    else if (v !== false && v != null) el.setAttribute(k, v === true ? '' : v);
  }
  el.append(...children.flat().filter((c) => c != null && c !== false));
  return el;
}

export function svg(tag, attrs = {}, ...children) {
  const el = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [k, v] of Object.entries(attrs)) el.setAttribute(k, v);
  el.append(...children);
  return el;
}

export function setText(el, text) {
  if (el && el.textContent !== text) el.textContent = text;
}

const whole = new Intl.NumberFormat('en');
export const count = (n) => whole.format(n);

/** A number in as few characters as tell its size: 1.24 M. */
export function brief(n) {
  if (n < 1000) return n >= 100 || Number.isInteger(n) ? String(Math.round(n)) : n >= 10 ? n.toFixed(1) : n >= 0.005 ? n.toFixed(2) : '0';
  const units = ['', ' k', ' M', ' G', ' T'];
  let i = 0;
  while (n >= 999.5 && i < units.length - 1) { n /= 1000; i++; }
  return (n < 10 ? n.toFixed(2) : n < 100 ? n.toFixed(1) : n.toFixed(0)) + units[i];
}

export function ms(x) {
  if (!x) return '0';
  if (x < 0.001) return '<1 µs';
  if (x < 1) return Math.round(x * 1000) + ' µs';
  if (x < 1000) return (x < 10 ? x.toFixed(2) : x < 100 ? x.toFixed(1) : x.toFixed(0)) + ' ms';
  if (x < 120000) return (x / 1000).toFixed(1) + ' s';
  return x < 7.2e6 ? Math.round(x / 60000) + ' min' : (x / 3.6e6).toFixed(1) + ' h';
}

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return (n < 10 && i ? n.toFixed(1) : Math.round(n)) + ' ' + units[i];
}

/** 100 % only when nothing is missing. */
export function percent(x) {
  if (x === 100) return '100 %';
  return (Math.floor(Math.min(x, 99.999) * 100) / 100).toFixed(2) + ' %';
}

export const short = (version) => (version || '').slice(0, 12);
export const clock = (at) => new Date(at).toLocaleTimeString([], { hour12: false });
/** The time, with the day unless that is today. */
export const moment = (at) => {
  const d = new Date(at);
  return (d.toDateString() === new Date().toDateString() ? '' : d.toLocaleDateString('en-CA') + ' ') + clock(at);
};

export const page = document.body.dataset.page;
export const flow = document.body.dataset.flow || '';
export const readOnly = 'readOnly' in document.body.dataset;
export const api = (path = '') => `/v1/flows/${encodeURIComponent(flow)}${path}`;

/** Asks the process. A refusal is an Error that says what to do. */
export async function ask(path, options = {}) {
  const response = await fetch(path, { headers: { Accept: 'application/json' }, ...options });
  if (response.status === 401) { location.assign('/login?next=' + encodeURIComponent(location.pathname)); throw new Error('a token is needed'); }
  let body;
  try { body = await response.json(); } catch { throw new Error(`the process answered ${response.status}`); }
  if (!response.ok) throw new Error(body.error + (body.advice ? '; ' + body.advice : ''));
  return body;
}

export const post = (path, json, method = 'POST') =>
  ask(path, { method, headers: { 'Content-Type': 'application/json', Accept: 'application/json' }, body: JSON.stringify(json) });
export const sendText = (path, text, method = 'POST') =>
  ask(path, { method, headers: { 'Content-Type': 'application/yaml', Accept: 'application/json' }, body: text });

/** Gives the focus to an element when the one that had it is gone, disabled or hidden. */
export function keepFocus(el) {
  requestAnimationFrame(() => { if (document.activeElement === document.body) el?.focus(); });
}

/** Runs f once calls have ceased for a while. */
export function settled(f, wait = 300) {
  let timer;
  return (...args) => { clearTimeout(timer); timer = setTimeout(() => f(...args), wait); };
}
