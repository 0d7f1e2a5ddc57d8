import { useLayoutEffect, useRef } from 'preact/hooks';

export type Command = 'next' | 'previous' | 'search' | 'back' | 'remove' | 'help' | Place;
/** Which of the inbox's pages is shown. */
export type Place = 'messages' | 'sessions' | 'chaos';

/** What each key does, also for the help. */
export const KEYS: Readonly<Record<string, Command>> = {
  j: 'next',
  ArrowDown: 'next',
  k: 'previous',
  ArrowUp: 'previous',
  '/': 'search',
  Escape: 'back',
  Delete: 'remove',
  '#': 'remove',
  '?': 'help',
  m: 'messages',
  r: 'sessions',
  c: 'chaos',
};

/** Has keys do what they stand for, but where somebody types, and where the element that has the focus needs them itself. */
export function useKeys(commands: Readonly<Record<Command, () => void>>): void {
  const current = useRef(commands);
  current.current = commands;
  // Before it is painted: who sees it may press a key.
  useLayoutEffect(() => {
    const press = (event: KeyboardEvent) => {
      const { key, target } = event;
      if (event.ctrlKey || event.metaKey || event.altKey || !(target instanceof Element)) return;
      if (isTypedInto(target)) return;
      const isArrow = key.startsWith('Arrow');
      // Arrows scroll what is read.
      if (isArrow && !(target === document.body || target.closest('.list'))) return;
      const command = KEYS[key];
      if (!command) return;
      event.preventDefault();
      current.current[command]();
    };
    addEventListener('keydown', press);
    return () => removeEventListener('keydown', press);
  }, []);
}

/** Whether keys are for what has the focus. A dialog that was closed may keep it for a moment. */
export function isTypedInto(target: Element): boolean {
  return target.closest('input, select, textarea, dialog[open]') !== null;
}
