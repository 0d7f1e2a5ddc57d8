import type { TransportKind } from '../config/transports/list.ts';
import { Refusal, type RefusalDetail } from '../message/refusal.ts';
import { transportLimits } from '../routing/routes.ts';
import type { Facts, Subject } from './decide.ts';
import { contentOf, decideWith, type HeaderContent, type HeaderQuestion, readHeader } from './header-steps.ts';
import type { ReadHeader } from './submission.ts';

/** What is known, in a form that reaches another thread. */
export interface PlainFacts extends Omit<Facts, 'transport'> {
  readonly transport: TransportKind;
}

/** The header section as it was received, and what is to be done with it. It is read anew each time. */
export type HeaderTask = { readonly section: Uint8Array; readonly question: HeaderQuestion } & (
  | { readonly step: 'read' }
  | { readonly step: 'decide'; readonly subject: Omit<Subject, 'fields'>; readonly facts: PlainFacts }
  | { readonly step: 'content'; readonly hasAttachments: boolean; readonly keepOriginal: boolean }
);

export interface HeaderAnswer {
  readonly header?: ReadHeader;
  readonly content?: HeaderContent;
  readonly refusal?: RefusalDetail;
}

/** What runs in the worker thread. */
export default function work(task: HeaderTask): HeaderAnswer {
  try {
    return answer(task);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { refusal: error.detail };
  }
}

function answer(task: HeaderTask): HeaderAnswer {
  const { buffer, byteOffset, byteLength } = task.section;
  const read = readHeader(Buffer.from(buffer, byteOffset, byteLength), task.question);
  switch (task.step) {
    case 'read':
      return { header: read.header };
    case 'content':
      return { content: contentOf(read, task.hasAttachments, task.keepOriginal) };
    case 'decide': {
      const facts = { ...task.facts, transport: transportLimits(task.facts.transport) };
      const refusal = decideWith(read.fields, task.subject, facts);
      return refusal ? { refusal: refusal.detail } : {};
    }
  }
}
