// The books of the brand; decoration.

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="32" height="32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="7" class="mark-ground" />
      <g class="mark-books">
        <path d="M8 8h4v15H8zM13.5 8h4v15h-4z" />
        <path d="m19.2 9.2 3.8-1 3.9 14.4-3.9 1z" />
      </g>
      <path d="M6.5 25.5h19" class="mark-board" />
    </svg>
  );
}

/** A board with a few books, for wide windows. */
export function Board() {
  return (
    <svg class="board" viewBox="0 0 300 240" aria-hidden="true" focusable="false">
      <path class="spine-0" d="M18 60h34v160H18z" />
      <path class="band" d="M18 84h34v8H18zM18 188h34v8H18z" />
      <path class="spine-1" d="M56 92h26v128H56z" />
      <path class="band" d="M56 108h26v5H56z" />
      <path class="spine-2" d="M86 40h42v180H86z" />
      <path class="band" d="M94 64h26v46H94z" />
      <path class="spine-3" d="M132 78h22v142h-22z" />
      <path class="spine-4" d="M158 56h36v164h-36z" />
      <path class="band" d="M158 76h36v6h-36zM158 88h36v6h-36z" />
      <path class="spine-5" d="m207 70 30-9 42 153-30 8z" />
      <path class="band" d="m212.5 90 30-8.5 2 7-30 8.5z" />
      <path class="plank" d="M4 220h292v10H4z" />
    </svg>
  );
}
