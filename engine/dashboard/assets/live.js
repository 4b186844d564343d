// The stream of events. It begins anew when it breaks; the browser sees to that.
import { $, flow, setText } from './dom.js';

/** Calls the handlers for each event: {metrics, receipt}. */
export function listen(handlers) {
  const sign = $('#live');
  const source = new EventSource('/v1/events' + (flow ? '?flow=' + encodeURIComponent(flow) : ''));
  const show = (on, text) => { sign.dataset.live = on; setText(sign, text); };
  source.addEventListener('open', () => show('on', 'live'));
  source.addEventListener('error', () => show('off', 'the process does not answer'));
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (e) => handle(JSON.parse(e.data)));
  }
  addEventListener('pagehide', () => source.close());
}
