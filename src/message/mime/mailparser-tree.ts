import type { Transform } from 'node:stream';
import { MailParser, type MailParserOptions } from 'mailparser';
import { unfold } from '../header/fields.ts';
import { type ContentFields, readContentFields } from './content-fields.ts';

/*
 * mailparser's tree of a message, and the members by which it is built. Its type declarations leave them out: another version may have
 * others, and only this file and the one class that extends mailparser know them.
 */

/** A node of mailparser's tree: what is read of it. */
export interface TreeNode {
  readonly node: SplitNode;
  readonly contentType: string;
  disposition?: string;
  readonly isAttachment?: boolean;
  readonly encoding?: string;
  readonly decoder?: Transform;
  readonly children: readonly TreeNode[];
}

/** A node of the splitter below mailparser. */
export interface SplitNode {
  type: string;
  value?: Buffer;
  contentType: string | false;
  charset: string | false;
  encoding: string | false;
  flowed: boolean;
  readonly delSp: boolean;
  disposition: string | false;
  readonly _boundary: Buffer | false;
  getDecoder(): Transform;
  readonly filename: string | false;
  readonly partNr: readonly (string | number)[];
  /** Lines have the whole field, as it was written. */
  readonly headers: {
    getList(): readonly HeaderLine[];
    hasHeader(name: string): boolean;
  };
  readonly parentNode?: SplitNode & { readonly multipart: string | false };
}

export interface HeaderLine {
  /** In lower case. */
  readonly key: string;
  readonly line: string;
}

/** The members of MailParser that its type declarations leave out. */
interface MailParserInternals {
  tree: TreeNode | false;
  curnode: TreeNode | false;
  createNode(node: SplitNode): TreeNode;
  processHeaders(lines: readonly HeaderLine[]): Map<string, unknown>;
  processChunk(chunk: SplitNode, done: (error?: Error) => void): void;
}

/** mailparser, with what is overridden of it. */
export const TreeParser = MailParser as unknown as new (options: MailParserOptions) => MailParser & MailParserInternals;

/** Depth first, as they stand in the message. */
export function allNodes(node: TreeNode): TreeNode[] {
  return [node, ...node.children.flatMap(allNodes)];
}

/** It has no part: no boundary is named, or the one that is never comes. */
export function isEmptyMultipart(node: TreeNode): boolean {
  return node.children.length === 0 && node.contentType.startsWith('multipart/');
}

export function contentFieldsOf({ headers }: SplitNode): ContentFields {
  const lines = headers.getList();
  const fieldValue = (name: string): string | undefined => {
    const line = lines.find(({ key }) => key === name)?.line;
    return line === undefined ? undefined : unfold(line.slice(line.indexOf(':') + 1));
  };
  return readContentFields(fieldValue('content-type'), fieldValue('content-disposition'));
}

/** The boundaries of a part and of those around it. */
export function boundariesOf(node: SplitNode): string[] {
  const own = node._boundary ? [`--${node._boundary.toString('latin1')}`] : [];
  return node.parentNode ? [...own, ...boundariesOf(node.parentNode)] : own;
}

/** Levels of multipart around a part. */
export function depthOf(node: SplitNode): number {
  let depth = 0;
  for (let parent = node.parentNode; parent; parent = parent.parentNode) depth += 1;
  return depth;
}
