// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Time of ring operations beside `virtio_queue::Queue`.

// `criterion_group` makes a public function.
#![allow(missing_docs)]

mod operations;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};

fn operations(c: &mut Criterion) {
    for operation in operations::all() {
        let mut group = c.benchmark_group(&operation.name);
        group.throughput(Throughput::Elements(operation.count.into()));
        for side in &operation.sides {
            group.bench_function(side.name, |b| {
                (side.run)(&mut |pass| b.iter(&mut *pass));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, operations);
criterion_main!(benches);
