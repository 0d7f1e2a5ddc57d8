/** Outlines on a field of 24 by 24. */
const PATHS = {
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm5-2 4 4',
  clip: 'M20 11.5 12 19.4a5 5 0 0 1-7-7l8.5-8.4a3.3 3.3 0 0 1 4.7 4.7l-8.5 8.4a1.7 1.7 0 0 1-2.4-2.4l7.8-7.7',
  trash: 'M4 7h16M9 7V4h6v3m-8.5 0 1 13h9l1-13M10 11v5m4-5v5',
  back: 'M14 5l-7 7 7 7',
  open: 'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Zm9.5 3a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z',
  click: 'M9 9l4.5 11.5 2-5 5-2L9 9ZM4 4l2 2m3-4v2.5M2 9h2.5',
  check: 'M4.5 12.5l5 5 10-11',
  cross: 'M6 6l12 12M18 6L6 18',
  flag: 'M5 21V4h12l-2 4 2 4H5',
  clock: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-14v5l3.5 2',
  send: 'M3.5 11.5 20.5 4l-5 17-4-7-8-2.5Zm8 2.5 4-5',
  download: 'M12 4v11m-5-4.5 5 4.5 5-4.5M5 20h14',
  help: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm-2.5-11.500a2.5 2.500 0 1 1 3.5 2.300c-.7.400-1 .900-1 1.700m0 3v.1',
  pulse: 'M3 12h4l2.500-7 5 14 2.500-7h4',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 4.500 19.500 12 7 19.500v-15Z',
  alert: 'M12 4 2.500 20h19L12 4Zm0 6v4.500m0 2.500v.1',
  book: 'M5 4h11a3 3 0 0 1 3 3v13H8a3 3 0 0 1-3-3V4Zm0 13a3 3 0 0 1 3-3h11',
  inbox: 'M3.5 13 6 5h12l2.500 8v6h-17v-6Zm0 0h5l1 2.500h5l1-2.500h5',
} as const;

export type IconName = keyof typeof PATHS;

/** Decoration: what it stands for is said beside it. */
export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
