// The page has not been set up: for the person who deployed it.

export function Broken({ reason }: { readonly reason: string }) {
  return (
    <main class="narrow">
      <h1>Shelf is not ready</h1>
      <p>Nobody can sign in here just now.</p>
      <p class="quiet">{reason}</p>
      <p>
        <button
          type="button"
          class="button primary"
          onClick={() => {
            location.reload();
          }}
        >
          Try again
        </button>
      </p>
    </main>
  );
}
