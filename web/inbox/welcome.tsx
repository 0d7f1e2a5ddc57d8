interface WelcomeProps {
  readonly isSearch: boolean;
  readonly isLoading: boolean;
  readonly error: string | null;
}

/** In the place of a list that is empty. */
export function Welcome({ isSearch, isLoading, error }: WelcomeProps) {
  if (error !== null) return <p class="nothing bad">{error}</p>;
  if (isLoading) return <p class="nothing">Loading …</p>;
  if (isSearch) return <p class="nothing">No message matches.</p>;
  return (
    <div class="nothing">
      <h2>No messages yet</h2>
      <p>
        Send one with the mail settings that <code>make dev</code> printed, and it appears here at once.
      </p>
    </div>
  );
}
