// What a stage keeps of each key now.
import { $, api, ask, count, h, setText } from './dom.js';

async function load() {
  const form = $('#values-form');
  try {
    const v = await ask(api('/values/' + encodeURIComponent(form.elements.stage.value)));
    const columns = [...new Set(v.rows.flatMap((r) => Object.keys(r.values)))];
    const find = form.elements.find.value.toLowerCase();
    const rows = v.rows.filter((r) => JSON.stringify(r.values).toLowerCase().includes(find));
    const numeric = (c) => rows.every((r) => typeof r.values[c] === 'number' || r.values[c] == null);
    const shown = (x) => (typeof x === 'number' ? (Number.isInteger(x) ? count(x) : x.toFixed(3)) : typeof x === 'string' ? x : JSON.stringify(x) ?? '');
    $('#values thead').replaceChildren(h('tr', {}, columns.map((c) => h('th', { scope: 'col', class: numeric(c) ? 'n' : '' }, c))));
    $('#values tbody').replaceChildren(...rows.map((r) => h('tr', {}, columns.map((c) => h('td', { class: numeric(c) ? 'n' : '' }, shown(r.values[c]))))));
    setText($('#values-note'), v.keys > v.rows.length ? `${count(v.rows.length)} of ${count(v.keys)} keys` : `${count(v.keys)} keys`);
  } catch (e) { setText($('#values-note'), e.message); }
}

export async function start() {
  const form = $('#values-form');
  if (!form) return {};
  form.addEventListener('input', load);
  form.addEventListener('submit', (e) => e.preventDefault());
  await load();
  let busy = false;
  return { async metrics() { if (!busy && !document.hidden) { busy = true; await load(); busy = false; } } };
}
