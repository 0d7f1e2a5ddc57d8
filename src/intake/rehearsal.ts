import { createRegistry } from '../observability/metrics.ts';
import { NO_TRACING } from '../observability/tracing.ts';
import { exceededLimit, readKeyUsage } from '../store/keys/usage.ts';
import { ARRIVAL } from '../store/messages/columns.ts';
import { createSessionLogMetrics, SessionLog } from '../store/sessions/session-log.ts';
import type { AcceptDependencies } from './accept.ts';
import { createIntake, type Intake, type IntakeParts } from './create-intake.ts';
import type { OriginalKeeper } from './originals.ts';
import type { ApiKey, Submission } from './submission.ts';

/** Nothing came in: what is told of it is text, which nobody reads. */
export const NO_ARRIVAL = Object.fromEntries(Object.keys(ARRIVAL).map(name => [name, ''])) as Submission['arrival'];

/** Originals stay where they are. */
const NOWHERE: OriginalKeeper = {
  goesElsewhere: () => false,
  put: message => Promise.resolve(message),
};

/**
 * The path of messages up to its commit, which is not made: nothing is stored, counted, published or written down. What decides is the
 * very same. What goes wrong on purpose for a key is left out, since it says nothing of the message.
 */
export function createRehearsalIntake(
  parts: Pick<IntakeParts, 'live' | 'pool' | 'id' | 'logger' | 'parser' | 'headers' | 'objects' | 'isReady'>,
): Intake {
  const { pool, id: pod, logger } = parts;
  const registry = createRegistry();
  const store: AcceptDependencies['store'] = async ({ userId, suppressible = [], counted }) => {
    const addresses = await intake.findSuppressed(userId, suppressible);
    if (addresses.length > 0) return { kind: 'suppressed', addresses };
    const usage = counted ? await readKeyUsage(pool, counted.keyId) : null;
    const isOver = usage && counted && exceededLimit(usage, counted.recipients, counted.limits) !== null;
    return isOver ? { kind: 'over', usage } : { kind: 'stored' };
  };
  const intake = createIntake({
    ...parts,
    registry,
    tracer: NO_TRACING,
    publisher: null,
    lastUsed: { mark: () => {} },
    metrics: { committed: () => {} },
    stepTimes: { add: () => {} },
    instead: { store, originals: NOWHERE, findRepeat: async () => null },
  });
  const { keys, onlookers } = intake;
  const metrics = createSessionLogMetrics(createRegistry());
  return {
    ...intake,
    get smtpUtf8() {
      return intake.smtpUtf8;
    },
    keys: { ...keys, findById: async id => withoutChaos(await keys.findById(id)) },
    // Nobody hears what is said.
    sessions: new SessionLog({ write: async () => {}, period: () => 0, pod, onlookers, metrics, logger }),
  };
}

function withoutChaos(key: ApiKey | null): ApiKey | null {
  if (key === null) return null;
  const { chaos: _, ...others } = key;
  return others;
}
