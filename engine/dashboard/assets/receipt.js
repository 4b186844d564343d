// The receipt of a change, for people.
import { count, h, ms, short } from './dom.js';

const words = { applied: 'Applied', unchanged: 'Unchanged: this runs already', pending: 'Pending: it is tried again', rejected: 'Rejected: nothing was touched', rolled_back: 'Rolled back' };

export const outcome = (r) => words[r.outcome] || r.outcome;

export function versions(r) {
  if (!r.version_before) return short(r.version_after);
  if (!r.version_after || r.version_after === r.version_before) return short(r.version_before);
  return `${short(r.version_before)} → ${short(r.version_after)}`;
}

/** What becomes of sources, and of stages with state. */
export function differences(sources, stages) {
  const rows = [...(sources || []).map((d) => ['source', d]), ...(stages || []).map((d) => [d.kind, d])];
  if (!rows.length) return null;
  return h('table', {}, h('tbody', {}, rows.map(([kind, d]) => h('tr', {}, h('td', {}, kind), h('td', {}, d.name), h('td', {}, h('b', {}, d.outcome)), h('td', { class: 'hint' }, d.why || '')))));
}

export function problemText(p) {
  const at = p.line ? `${p.line}:${p.column}: ` : '';
  return at + p.message + (p.advice ? '; ' + p.advice : '');
}

export function receipt(r) {
  const done = r.outcome === 'applied' && r.version_before;
  return h('div', { class: 'receipt', 'data-outcome': r.outcome },
    h('p', { class: 'outcome' }, outcome(r)),
    r.reason ? h('p', { class: 'problem' }, r.reason) : null,
    (r.diagnostics || []).map((p) => h('p', { class: p.severity === 'error' ? 'problem' : 'hint' }, problemText(p))),
    h('p', {}, h('code', {}, versions(r))),
    done ? h('p', {}, `${count(r.records_drained)} records in flight were finished; nothing was read for ${ms(r.paused_ms)}.`) : null,
    differences(r.sources, r.stages),
    r.running ? null : h('p', { class: 'problem' }, 'The flow does not run.'));
}
