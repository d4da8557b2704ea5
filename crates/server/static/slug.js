// Proposes a name for an address from a name for people, as it is typed. The server proposes the same, in
// `Slug::propose`, where a browser runs no script.

const MIN = 3;
const MAX = 40;
const SPELLED = { ß: 'ss', æ: 'ae', œ: 'oe', ø: 'o', ł: 'l', đ: 'd', ð: 'd', þ: 'th', ı: 'i' };

/** A slug for a name, or nothing if the name has no letter or digit that a slug can have. */
function propose(name, prefix) {
  const plain = name.normalize('NFKD').toLowerCase().replace(/[\p{M}'\u2019]/gu, '');
  const spelled = plain.replace(/[ßæœøłđðþı]/g, (letter) => SPELLED[letter]);
  const slug = spelled.replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');
  if (slug === '') return '';
  const whole = slug.length < MIN || !/^[a-z]/.test(slug) ? `${prefix}-${slug}` : slug;
  return whole.slice(0, MAX).replace(/-+$/, '');
}

for (const slug of document.querySelectorAll('[data-slug-of]')) {
  const name = document.getElementById(slug.dataset.slugOf);
  const preview = document.getElementById(slug.dataset.slugPreview);
  const proposal = () => propose(name.value, slug.dataset.slugPrefix);
  // A name that the user typed stays.
  let isOwn = slug.value !== '' && slug.value !== proposal();
  const show = () => {
    if (preview) preview.textContent = slug.value || 'name';
  };
  name.addEventListener('input', () => {
    if (isOwn) return;
    slug.value = proposal();
    show();
  });
  slug.addEventListener('input', () => {
    isOwn = slug.value !== '';
    show();
  });
}
