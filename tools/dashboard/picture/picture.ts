/** What draw.ts gives to the page, and the page draws. */
export interface Picture {
  readonly title: string;
  readonly variables: Readonly<Record<string, string>>;
  /** Seconds since 1970. */
  readonly from: number;
  readonly to: number;
  readonly panels: readonly DrawnPanel[];
}

export interface DrawnPanel extends DashboardPanel {
  readonly lines: readonly Line[];
}

/** One series of a panel. */
export interface Line {
  readonly refId: string;
  readonly legend: string;
  /** Milliseconds since 1970. */
  readonly times: readonly number[];
  /** null for what is no number. */
  readonly values: readonly (number | null)[];
}

/** Of the dashboard's JSON, what is needed here. */
export interface DashboardPanel {
  readonly type: 'row' | 'stat' | 'timeseries';
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly DashboardTarget[];
  readonly fieldConfig?: {
    readonly defaults: Readonly<Record<string, unknown>>;
    readonly overrides: readonly DashboardOverride[];
  };
  readonly options?: Readonly<Record<string, unknown>>;
  readonly transformations?: readonly DashboardTransformation[];
}

/** Of a series' name. */
export interface DashboardTransformation {
  readonly id: 'renameByRegex';
  readonly options: { readonly regex: string; readonly renamePattern: string };
}

/** What is different for some fields. */
export interface DashboardOverride {
  readonly matcher: { readonly id: string; readonly options: unknown };
  readonly properties: readonly { readonly id: string; readonly value: unknown }[];
}

export interface DashboardTarget {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat: string;
  readonly instant?: boolean;
}

export interface DashboardVariable {
  readonly name: string;
  readonly label: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
  readonly regex?: string;
}

export interface Dashboard {
  readonly title: string;
  readonly templating: { readonly list: readonly DashboardVariable[] };
  readonly panels: readonly DashboardPanel[];
}

/** Pixels, as Grafana lays panels out: cells of 30, gaps of 8. */
export const GRID = { width: 1280, columns: 24, cell: 38, gap: 8, head: 56 };

/** The height of a whole picture, in pixels. */
export function heightOf(panels: readonly DashboardPanel[]): number {
  const rows = Math.max(...panels.map(({ gridPos: { y, h } }) => y + h));
  return GRID.head + rows * GRID.cell + GRID.gap;
}
