// Pause, continue and drain, and how the flow stands.
import { $, api, ask, flow, h, setText } from './dom.js';

export function stand(m) {
  const f = m.flows.find((one) => one.name === flow);
  if (!f) return;
  const state = $('#state');
  state.dataset.state = f.state;
  setText(state, f.state);
  const reason = $('#reason');
  reason.hidden = !f.reason;
  setText(reason, f.reason || '');
  const pause = $('#pause');
  if (!pause) return;
  const held = f.state === 'paused' || f.state === 'pausing', over = f.state === 'ended' || f.state === 'failed';
  setText(pause, held ? 'Continue' : 'Pause');
  pause.dataset.path = held ? '/resume' : '/pause';
  pause.disabled = over;
  $('#drain').disabled = over;
}

/** Asks before something that cannot be taken back. */
function sure(question, yes) {
  return new Promise((done) => {
    const d = h('dialog', {}, h('p', {}, question), h('div', { class: 'actions' },
      h('button', { class: 'primary', onclick: () => d.close('yes') }, yes), h('button', { autofocus: true, onclick: () => d.close('') }, 'Cancel')));
    d.addEventListener('close', () => { d.remove(); done(d.returnValue === 'yes'); });
    document.body.append(d);
    d.showModal();
  });
}

export function steer() {
  const pause = $('#pause'), drain = $('#drain');
  if (!pause) return;
  const tell = (e) => { const r = $('#reason'); r.hidden = false; setText(r, e.message); };
  pause.addEventListener('click', async () => {
    pause.disabled = true;
    try { await ask(api(pause.dataset.path), { method: 'POST' }); } catch (e) { tell(e); }
    pause.disabled = false;
  });
  drain.addEventListener('click', async () => {
    if (!await sure(`Drain ${flow}? What was read is finished, and the flow ends. Applying its file starts it again.`, 'Drain')) return;
    try { await ask(api('/drain'), { method: 'POST' }); } catch (e) { tell(e); }
  });
}
