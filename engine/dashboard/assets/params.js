// The form of the params.
import { $, $$, api, ask, flow, keepFocus, post, setText, settled } from './dom.js';
import { receipt } from './receipt.js';

const value = (field) => $('input, select', field).value;
const changed = (field) => value(field) !== field.dataset.value;

function problem(field, text) {
  const p = $('.problem', field);
  p.hidden = !text;
  setText(p, text || '');
  $('input, select', field).setAttribute('aria-invalid', text ? 'true' : 'false');
}

/** Puts what is wrong next to the param that it is about; returns the rest. */
function problems(list) {
  const rest = [];
  for (const field of $$('.field')) {
    const name = `"${field.dataset.param}"`;
    const about = list.filter((d) => d.severity === 'error' && d.message.includes(name));
    problem(field, about.map((d) => d.message.replace(/ \(set: .*\)$/, '') + (d.advice ? '; ' + d.advice : '')).join(' '));
  }
  for (const d of list) if (d.severity === 'error' && !$$('.field').some((f) => d.message.includes(`"${f.dataset.param}"`))) rest.push(d);
  return rest;
}

function wanted() {
  const set = {};
  for (const field of $$('.field')) {
    field.classList.toggle('changed', changed(field));
    if (changed(field)) set[field.dataset.param] = value(field);
  }
  return set;
}

export async function start() {
  const form = $('#params');
  if (!form) return {};
  const button = $('#set'), note = $('#set-note');

  const check = settled(async () => {
    const set = wanted();
    if (!Object.keys(set).length) { problems([]); button.disabled = true; setText(note, 'Nothing has been changed.'); return; }
    try {
      const plan = await post('/v1/plan', { flow, set });
      problems(plan.diagnostics || []);
      button.disabled = false;
      setText(note, plan.ok ? `Sets ${Object.keys(set).join(', ')}.` : 'This would be rejected.');
    } catch (e) { setText(note, e.message); }
  }, 200);

  async function refresh() {
    const params = await ask(api('/params'));
    for (const p of params) {
      const field = $(`.field[data-param="${CSS.escape(p.name)}"]`);
      if (!field) { location.reload(); return; }
      const untouched = !changed(field);
      field.dataset.value = p.value;
      if (untouched) $('input, select', field).value = p.value;
      setText($('.from', field), p.from);
      $('.unset', field).hidden = p.from === 'default' || p.from === 'environment';
    }
    check();
  }

  async function change(params) {
    if (button) button.disabled = true;
    try {
      const r = await post(api('/params'), params, 'PATCH');
      $('#receipt').replaceChildren(receipt(r));
      if (r.outcome === 'rejected') { problems(r.diagnostics || []); $('[aria-invalid="true"]')?.focus(); } else { await refresh(); keepFocus($('#receipt')); }
    } catch (e) { setText(note, e.message); }
  }

  form.addEventListener('input', () => { if (button) button.disabled = false; check(); });
  form.addEventListener('submit', (e) => { e.preventDefault(); const set = wanted(); if (Object.keys(set).length) change({ set }); });
  for (const b of $$('.unset')) b.addEventListener('click', () => change({ unset: [b.dataset.unset] }));
  return { receipt: (r) => { $('#receipt').replaceChildren(receipt(r)); refresh(); }, reopened: refresh };
}
