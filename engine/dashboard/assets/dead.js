// Dead letters: why each died, and sending it again.
import { $, api, ask, clock, count, h, post, readOnly, setText } from './dom.js';

let letters = [];
const chosen = () => [...document.querySelectorAll('#dead input:checked')].map((e) => e.value);

/** Replays letters; what then dies again comes back. */
async function replay(request, button) {
  button.disabled = true;
  try {
    const r = await post(api('/dead/replay'), request);
    setText($('#dead-result'), `${count(r.done)} sent again${r.repeats ? `, ${count(r.repeats)} were repeats` : ''}.`);
    await load();
  } catch (e) { setText($('#dead-result'), e.message); }
  button.disabled = false;
}

function row(l) {
  const payload = l.payload ?? `base64: ${l.payload_base64 ?? ''}`;
  const place = [l.source, l.file, l.line != null ? `line ${l.line}` : null].filter(Boolean).join(' ');
  return h('tr', { 'data-id': l.id },
    readOnly ? null : h('td', {}, h('input', { type: 'checkbox', value: l.id, 'aria-label': 'choose this letter', onchange: tally })),
    h('td', { title: l.time }, clock(l.time)), h('td', {}, l.stage), h('td', { class: 'why' }, l.reason),
    h('td', {}, place), h('td', { class: 'n' }, count(l.attempts)), h('td', { class: 'mono' }, payload.slice(0, 2000)));
}

function tally() {
  const n = chosen().length;
  if ($('#replay')) { $('#replay').disabled = !n; setText($('#replay'), n ? `Replay ${count(n)}` : 'Replay chosen'); }
}

async function load() {
  const kept = new Set(chosen());
  try {
    const list = await ask(api('/dead?limit=200'));
    letters = list.letters;
    $('#dead tbody').replaceChildren(...letters.map(row));
    for (const e of document.querySelectorAll('#dead input')) e.checked = kept.has(e.value);
    setText($('#dead-note'), letters.length ? (letters.length === 200 ? 'the oldest 200' : `${count(letters.length)}, the oldest first`) : 'None are kept.');
    setText($('#dead-notes'), (list.notes || []).join(' '));
  } catch (e) { setText($('#dead-note'), e.message); }
  tally();
}

export async function start() {
  $('#refresh').addEventListener('click', load);
  $('#replay')?.addEventListener('click', (e) => replay({ ids: chosen() }, e.currentTarget));
  $('#all')?.addEventListener('change', (e) => { for (const box of document.querySelectorAll('#dead input')) box.checked = e.target.checked; tally(); });
  await load();
  return {};
}
