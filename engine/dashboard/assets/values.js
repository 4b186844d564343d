// What a stage keeps of each key now.
import { $, api, ask, count, h, keepFocus, setText, settled } from './dom.js';

const limit = 100; // keys on a page
const before = []; // the keys that the pages before this one began behind
let after = '', asked = 0, next = '', turned = false;

function shown(x) {
  if (typeof x === 'number') return Number.isInteger(x) ? count(x) : x.toFixed(3);
  if (typeof x === 'string') return /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(x) ? x.replace('T', ' ') : x;
  return x == null ? '' : JSON.stringify(x);
}

/** Fills the table. Where its form is the same, only what differs is touched,
    so that a selection stays. */
function table(rows) {
  const counted = rows.some((r) => r.of), names = [...new Set(rows.flatMap((r) => Object.keys(r.values)))];
  const columns = names.map((name) => ({ name: { window_start: 'from', window_end: 'to' }[name] ?? name, of: (r) => r.values[name] }));
  if (counted) columns.push({ name: 'records', of: (r) => `${count(r.records || 0)} of ${count(r.of)}` });
  for (const c of columns) c.numeric = c.name === 'records' || rows.every((r) => typeof c.of(r) === 'number' || c.of(r) == null);
  const head = JSON.stringify(columns.map((c) => [c.name, c.numeric]));
  if ($('#values thead').dataset.head !== head) {
    $('#values thead').dataset.head = head;
    $('#values thead').replaceChildren(h('tr', {}, columns.map((c) => h('th', { scope: 'col', class: c.numeric ? 'n' : '' }, c.name))));
    $('#values tbody').replaceChildren();
  }
  const body = $('#values tbody');
  while (body.children.length > rows.length) body.lastChild.remove();
  rows.forEach((r, i) => {
    const tr = body.children[i] || body.appendChild(h('tr', {}, columns.map((c) => h('td', { class: c.numeric ? 'n' : c.name === 'from' || c.name === 'to' ? 'when' : '' }))));
    columns.forEach((c, n) => setText(tr.children[n], shown(c.of(r)) + (r.more && n === 0 ? ' …' : '')));
  });
  $('#values').hidden = !rows.length;
}

async function load() {
  const form = $('#values-form'), mine = ++asked, find = form.elements.find.value.trim();
  try {
    const v = await ask(api('/values/' + encodeURIComponent(form.elements.stage.value) + '?' + new URLSearchParams({ find, after, limit })));
    if (mine !== asked) return;
    table(v.rows);
    next = v.more && v.rows.length ? v.rows.at(-1).key : '';
    const page = v.more || before.length ? `, page ${count(before.length + 1)}` : '';
    const what = v.keys === 1 ? 'key' : 'keys';
    setText($('#values-note'), !v.keys ? 'Nothing is open now.' : find ? `${count(v.found)} of ${count(v.keys)} ${what}${page}` : `${count(v.keys)} ${what}${page}`);
    form.elements.find.disabled = v.rows.some((r) => r.key === '***'); // hidden with the fields that are masked
    $('#values-next').hidden = !next || next === '***';
    $('#values-back').hidden = !before.length;
    if (turned) { turned = false; keepFocus($('#values-back').hidden ? $('#values-next') : $('#values-back')); }
  } catch (e) { if (mine === asked) setText($('#values-note'), e.message); }
}

export async function start() {
  const form = $('#values-form');
  if (!form) return {};
  const anew = () => { before.length = 0; after = ''; return load(); };
  const typed = settled(anew, 200);
  form.elements.find.addEventListener('input', typed);
  form.elements.stage.addEventListener('change', anew);
  form.addEventListener('submit', (e) => e.preventDefault());
  $('#values-next').addEventListener('click', () => { before.push(after); after = next; turned = true; load(); });
  $('#values-back').addEventListener('click', () => { after = before.pop(); turned = true; load(); });
  let busy = false;
  const look = async () => { if (!busy && !document.hidden) { busy = true; await load(); busy = false; } };
  look(); // an answer may take a while; the rest of the page does not wait for it
  return { metrics: look };
}
