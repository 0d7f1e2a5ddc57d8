import { createHash } from 'node:crypto';
import { SEND_JOB_TYPE } from '../send-job.ts';

/** What SQS takes for a message group: letters, digits and ASCII punctuation (API reference, SendMessage). */
const ALLOWED = /^[!-~]{1,128}$/;
const HASHED = 'sha256:';

/** The message group of an owner's jobs. An owner whose id SQS would refuse goes by a hash of it. */
export function groupOfOwner(userId: string): string {
  if (ALLOWED.test(userId) && userId !== SEND_JOB_TYPE && !userId.startsWith(HASHED)) return userId;
  return HASHED + createHash('sha256').update(userId).digest('hex');
}

/** The owner of a message group; null where the group does not say. */
export function ownerOfGroup(group: string | undefined): string | null {
  return group === undefined || group === SEND_JOB_TYPE || group.startsWith(HASHED) ? null : group;
}
