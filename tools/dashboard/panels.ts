import { DELIVERY, EVENTS, OUTBOX } from './delivery.ts';
import { AT_A_GLANCE, CLIENTS, MESSAGES_IN } from './intake.ts';
import type { Row } from './panel.ts';
import { PODS } from './pods.ts';

/**
 * What Grafana's dashboard shows, from above: first whether all is well, then the way of a message. Each panel is a question of
 * docs/metrics.md; metric names are checked against that document by chart/check/metrics.ts.
 */
export const ROWS: readonly Row[] = [AT_A_GLANCE, MESSAGES_IN, CLIENTS, OUTBOX, DELIVERY, EVENTS, PODS];
