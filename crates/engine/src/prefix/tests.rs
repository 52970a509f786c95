//! The tree alone, in blocks of two tokens.

use super::*;

const ALL: [Owner; 1] = [Owner::Everyone];

/// A node for each block of `tokens`, with a page so that it stays.
fn enter(index: &mut Index, owner: Owner, tokens: &[u32]) -> Vec<NodeId> {
    let mut path = Vec::new();
    for block in tokens.chunks(2) {
        let id = index.enter(0, &path, owner, block, 1);
        index.get_mut(id).expect("it was entered").pages[0] = Some(7);
        path.push(id);
    }
    path
}

#[test]
fn equal_beginnings_are_one_path_and_equal_ends_are_not() {
    let mut index = Index::new(2);
    let one = enter(&mut index, Owner::Everyone, &[1, 2, 3, 4]);
    let two = enter(&mut index, Owner::Everyone, &[1, 2, 5, 6]);
    let other = enter(&mut index, Owner::Everyone, &[9, 9, 3, 4]);
    assert_eq!(one[0], two[0]);
    assert_ne!(one[1], other[1], "the same block behind another beginning");
    assert_eq!(index.path(0, &ALL, &[1, 2, 3, 4, 9]), one);
    assert_eq!(index.path(0, &ALL, &[3, 4]), []);
    assert_eq!(index.path(1, &ALL, &[1, 2]), [], "another length class");
}

#[test]
fn the_nearest_block_has_most_tokens_in_common() {
    let mut index = Index::new(4);
    let enter = |index: &mut Index, tokens: [u32; 4]| index.enter(0, &[], Owner::Everyone, &tokens, 1);
    let near = enter(&mut index, [1, 2, 3, 4]);
    enter(&mut index, [1, 1, 9, 9]);
    enter(&mut index, [1, 3, 0, 0]);
    assert_eq!(index.nearest(0, &[], &[1, 2, 3, 9, 9]), Some((near, 3)));
    assert_eq!(index.nearest(0, &[], &[1, 2, 3]), Some((near, 3)));
    assert_eq!(index.nearest(0, &[], &[7, 2, 3, 9]), None);
    assert_eq!(index.nearest(0, &[], &[]), None);
}

#[test]
fn the_longest_tail_that_fits_is_found_by_who_may_see_it() {
    let mut index = Index::new(4);
    let session = [Owner::Session(3)];
    index.enter(0, &[], session[0], &[1], 0);
    let long = index.enter(0, &[], session[0], &[1, 2], 0);
    index.enter(0, &[], session[0], &[1, 3], 0);
    assert_eq!(index.tail(0, &[], &session, &[1, 2, 9]), Some((long, 2)));
    assert_eq!(index.tail(0, &[], &ALL, &[1, 2, 9]), None);
    assert_eq!(index.of_session(3).len(), 3);
}

#[test]
fn what_is_removed_takes_what_is_behind_it_along() {
    let mut index = Index::new(2);
    let path = enter(&mut index, Owner::Everyone, &[1, 2, 3, 4, 5, 6]);
    let kept = enter(&mut index, Owner::Everyone, &[1, 2, 8, 8]);
    assert_eq!(index.remove(path[1]).len(), 2);
    assert_eq!(index.path(0, &ALL, &[1, 2, 3, 4]), path[..1]);
    assert_eq!(index.path(0, &ALL, &[1, 2, 8, 8]), kept);
}

#[test]
fn nothing_is_left_of_a_path_that_leads_nowhere() {
    let mut index = Index::new(2);
    let path: Vec<_> = [[1, 2], [3, 4]].iter().fold(Vec::new(), |path, block| {
        let id = index.enter(0, &path, Owner::Everyone, block, 1);
        [path, vec![id]].concat()
    });
    index.prune(path[0]);
    assert!(index.get(path[0]).is_some(), "something is behind it");
    index.prune(path[1]);
    assert!(index.nodes.is_empty() && index.roots.is_empty());
}
