// Passing records.
import { $, api, clock, count, h, setText } from './dom.js';

const kept = 200;
let abort = null, broken = false; // broken: it ended for want of a process

function line(text) {
  const l = JSON.parse(text);
  if (l.passed != null) {
    setText($('#tap-note'), `${count(l.passed)} have passed, ${count(l.shown || 0)} of them are shown.`);
    return;
  }
  const body = $('#records tbody');
  body.prepend(h('tr', {}, h('td', {}, clock(l.time)), h('td', {}, l.key || ''), h('td', {}, JSON.stringify(l.record))));
  while (body.children.length > kept) body.lastChild.remove();
}

async function run(form) {
  const q = new URLSearchParams();
  for (const name of ['stage', 'where', 'rate']) if (form.elements[name].value) q.set(name, form.elements[name].value);
  abort = new AbortController();
  broken = false;
  setText($('#go'), 'Pause');
  $('#tap-problem').hidden = true;
  try {
    const response = await fetch(api('/tap?' + q), { signal: abort.signal });
    if (!response.ok) { const e = await response.json(); throw new Error(e.error + (e.advice ? '; ' + e.advice : '')); }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ''; ;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      lines.forEach(line);
    }
  } catch (e) {
    broken = e instanceof TypeError; // of fetch: the connection
    if (e.name !== 'AbortError') { $('#tap-problem').hidden = false; setText($('#tap-problem'), broken ? 'The connection was lost.' : e.message); }
  }
  setText($('#go'), 'Start');
  abort = null;
}

export async function start() {
  const form = $('#tap'), stage = new URLSearchParams(location.search).get('stage');
  if (stage) form.elements.stage.value = stage;
  form.addEventListener('submit', (e) => { e.preventDefault(); if (abort) abort.abort(); else run(form); });
  for (const name of ['stage', 'rate']) form.elements[name].addEventListener('change', () => { if (abort) { abort.abort(); setTimeout(() => run(form)); } });
  $('#clear').addEventListener('click', () => $('#records tbody').replaceChildren());
  if (stage) run(form);
  return { reopened() { if (broken && !abort) run(form); } };
}
