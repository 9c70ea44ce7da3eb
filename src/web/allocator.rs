//! The module's memory: blocks of fixed sizes, four to each doubling, and for each size a list of those that are free.
//!
//! The standard library's allocator is four times as large (2 kB of the package) and lets the memory grow by 64 KiB and 64 KiB,
//! which took 8 ms of the load of 10 000 rows (measured). A block is never split or joined: what is free of one size
//! is used for that size again. What a page holds is rows by the thousand and lists that double, so little is lost.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::null_mut;

/// Every block begins and ends at a multiple of this, which suits all types that there are.
const UNIT: usize = 16;

const PAGE: usize = 1 << 16;

/// How much the memory grows by at least. The browser takes none of it before it is written to.
const GROWTH: usize = 16 * PAGE;

struct Blocks {
    /// The first free block of each size; it holds the address of the next.
    free: [Cell<*mut u8>; 128],
    /// What has never been in a block.
    unused: Cell<(usize, usize)>,
}

// SAFETY: the module has one thread.
unsafe impl Sync for Blocks {}

#[global_allocator]
static BLOCKS: Blocks = Blocks { free: [const { Cell::new(null_mut()) }; 128], unused: Cell::new((0, 0)) };

/// The number of the list for blocks that have room for so many bytes, and how many they have. Of the last unit's number, the
/// first bit and the two behind it say which size it is.
const fn fit(bytes: usize) -> (usize, usize) {
    let last = bytes.saturating_sub(1) | (UNIT - 1);
    let shift = last.ilog2() as usize - 2;
    let step = last >> shift;
    (shift * 4 + step, (step + 1) << shift)
}

const _: () = assert!(fit(0).1 == 16 && fit(16).1 == 16 && fit(17).1 == 32 && fit(33).1 == 48 && fit(129).1 == 160);
const _: () = assert!(fit(1 << 31).0 < 128 && fit(112).0 != fit(113).0);

// SAFETY: a block is handed out once, until it is given back; it lies in memory that nobody else uses, and has room for the layout.
unsafe impl GlobalAlloc for Blocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (list, size) = fit(layout.size());
        if layout.align() > UNIT || list >= self.free.len() {
            return null_mut();
        }
        let free = &self.free[list];
        let first = free.get();
        if first.is_null() {
            return self.cut(size);
        }
        // SAFETY: it is free, so it holds what `dealloc` wrote.
        free.set(unsafe { first.cast::<*mut u8>().read() });
        first
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let free = &self.free[fit(layout.size()).0];
        // SAFETY: nobody uses it any more, and every block has room for an address.
        unsafe { block.cast::<*mut u8>().write(free.get()) };
        free.set(block);
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (old, new) = (fit(layout.size()), fit(size));
        if old.0 == new.0 {
            return block;
        }
        // SAFETY: as the caller says; both have room for the smaller of the two.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

impl Blocks {
    /// A block of what has never been in one.
    fn cut(&self, size: usize) -> *mut u8 {
        let (mut start, mut end) = self.unused.get();
        if end - start < size {
            let pages = size.max(GROWTH).div_ceil(PAGE);
            let grown = core::arch::wasm32::memory_grow(0, pages);
            if grown == usize::MAX {
                return null_mut();
            }
            // Somebody else may have let it grow since.
            if grown * PAGE != end {
                start = grown * PAGE;
            }
            end = (grown + pages) * PAGE;
        }
        self.unused.set((start + size, end));
        start as *mut u8
    }
}
